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
from keras_crate import CRATE, CRATEMAE, layers
from keras_crate.objective import SparseRateReduction

# Numbers that depend on the images alone, so that the same patches are hidden.
layers.PatchNoise.call = lambda self, patches: ops.cast(ops.sum(patches, axis=-1), "float32")
SIZE = dict(dim=8, depth=1, heads=2, input_shape=(8, 8, 1), patch_size=4)


def crate_mae():
    model = CRATEMAE(**SIZE, seed=0)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def classifier():
    model = CRATE(**SIZE, classes=3)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", run_eagerly=True)
    return model


def step(make, scope):
    keras.utils.set_random_seed(0)
    with scope:
        model = SparseRateReduction(weight=1e-2).attach(make())  # adds to `losses`
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (4, 8, 8, 1)).astype("float32")
    data = dict(x=images, y=np.array([0, 1, 2, 0]), sample_weight=np.arange(1.0, 5.0))
    loss = model.fit(**data, batch_size=4, shuffle=False, verbose=0).history["loss"]
    return {
        "loss": loss + [model.evaluate(**data, batch_size=4, verbose=0)],
        "weights": np.concatenate([w.ravel() for w in model.get_weights()]).tolist(),
    }


two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert two.num_replicas_in_sync == 2
for make in (crate_mae, classifier):
    print(json.dumps([step(make, contextlib.nullcontext()), step(make, two.scope())]))
"""


def test_two_replicas_train_as_one_device():
    run = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    mae, classifier = map(json.loads, run.stdout.splitlines()[-2:])
    for one, two in (mae, classifier):
        assert one["loss"][0] != one["loss"][1]  # it was trained
        for what in one:
            assert two[what] == pytest.approx(one[what], abs=1e-5, rel=1e-5), what
