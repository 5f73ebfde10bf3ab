"""One training step by one device and by two replicas of TensorFlow's `MirroredStrategy`."""

import json
import subprocess
import sys

import keras
import pytest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="MirroredStrategy is TensorFlow's"
)

# In a process of its own, since TensorFlow divides the processor before it computes.
STEPS = """
import contextlib, json
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import numpy as np
from keras import ops
from keras_crate import CRATE, CRATEMAE
from keras_crate.distributed.tensorflow_replicas import Replicas
from keras_crate.objective import SparseRateReduction
from keras_crate.training import SimDINO
from keras_crate.training.multi_crop import MultiCrop

# Crops that depend on the images alone.
MultiCrop.call = lambda self, images: (ops.concatenate([images / 255, images / 200]), None)
SIZE = dict(dim=8, depth=1, heads=2, input_shape=(8, 8, 1), patch_size=4)
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype("float32")
WEIGHTED = {"y": np.array([0, 1, 2, 0]), "sample_weight": np.arange(1.0, 5.0)}


def penalised(model):
    return SparseRateReduction(weight=1e-2).attach(model)  # adds to `model.losses`


def crate_mae():
    return penalised(CRATEMAE(**SIZE, seed=0)), None, {"x": IMAGES, **WEIGHTED}


def classifier():
    loss = "sparse_categorical_crossentropy"
    return penalised(CRATE(**SIZE, classes=3)), loss, {"x": IMAGES, **WEIGHTED}


def simdino():
    encoder = penalised(CRATE(**SIZE, include_top=False))
    return SimDINO(encoder, local_crops=0, projection_dim=4, hidden_dim=4), None, {"x": IMAGES}


def step(make, scope):
    keras.utils.set_random_seed(0)
    with scope:
        model, loss, data = make()
        model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    history = model.fit(**data, batch_size=4, shuffle=False, verbose=0).history
    evaluated = model.evaluate(**data, batch_size=4, verbose=0, return_dict=True)
    return {
        "loss": [*history["loss"], evaluated["loss"]],
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]).tolist(),
    }


two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
with two.scope():  # dropout differs between replicas
    state = keras.random.SeedGenerator(0).state
    Replicas(two).seed(state, 5)
    first, second = two.experimental_local_results(state.value)
    assert first.numpy().tolist() == [5, 0] != second.numpy().tolist()
for make in (crate_mae, classifier, simdino):
    one = step(make, contextlib.nullcontext())
    print(json.dumps([one, step(make, two.scope())]))
"""


def test_two_replicas_train_as_one_device():
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for line in run.stdout.splitlines()[-3:]:
        one, two = json.loads(line)
        assert one["loss"][0] != one["loss"][1]  # it was trained
        for what in one:
            assert two[what] == pytest.approx(one[what], abs=1e-5, rel=1e-4), what
