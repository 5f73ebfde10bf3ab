"""The layout of model parallel training: which weights are divided, and the same numbers."""

import json
import math

import keras
import pytest
from virtual_devices import needs_distribution, run_on_devices

from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha
from keras_crate.distributed.layout import check_layout
from keras_crate.layers import ISTA
from keras_crate.training import SimDINO, layout_map

STEPS = """
import json
import keras
import numpy as np
from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha
from keras_crate.training import layout_map

SIZE = dict(dim=16, depth=1, heads=4, input_shape=(8, 8, 1), patch_size=4)
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype("float32")
LABELS = np.array([0, 1, 2, 0])
MODELS = {
    "crate": lambda: CRATE(**SIZE, classes=3),
    "tssa": lambda: CRATE(**SIZE, classes=3, compress="tssa"),
    "alpha": lambda: CRATEAlpha(**SIZE, classes=3),
    "cbt": lambda: CBT(**SIZE, classes=3, representatives=(1, 2)),
    "mae": lambda: CRATEMAE(**SIZE, seed=0),
}


class Logits(keras.metrics.Metric):  # read from the training step: nothing else is compiled
    def __init__(self):
        super().__init__()
        self.last = self.add_weight(shape=(4, 3), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.last.assign(y_pred)

    def result(self):
        return keras.ops.sum(self.last)


def step(make, weights):
    keras.utils.set_random_seed(0)
    model = make()
    model.set_weights(weights)
    # The momentum after one step is the gradient.
    optimizer = keras.optimizers.SGD(1.0, momentum=0.9)
    logits, one_batch = Logits(), {"batch_size": len(IMAGES), "shuffle": False, "verbose": 0}
    if isinstance(model, CRATEMAE):
        model.compile(optimizer)
        history = model.fit(IMAGES, **one_batch).history
    else:
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=[logits])
        history = model.fit(IMAGES, LABELS, **one_batch).history
        assert np.asarray(logits.last).any()
    return model, {
        "logits": [np.asarray(logits.last)],
        "loss": history["loss"],
        "gradients": [np.asarray(m) for m in optimizer.momentums],
        "weights": model.get_weights(),
    }


def part(variable):
    return list(variable.value.addressable_shards[0].data.shape)


mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
parallel = keras.distribution.ModelParallel(
    layout_map=layout_map(mesh), batch_dim_name="batch"
)
for name, make in MODELS.items():
    weights = make().get_weights()
    _, one = step(make, weights)
    keras.distribution.set_distribution(parallel)
    model, eight = step(make, weights)
    parts = {v.path: (list(v.shape), part(v)) for v in model.weights}
    trained = model.trainable_variables
    slots = True
    others = keras.optimizers.AdamW(use_ema=True), keras.optimizers.Lion()
    for optimizer in (model.optimizer, *others):
        if not optimizer.built:
            optimizer.build(trained)
        of_weights = [v for v in optimizer.variables if v.shape and "rate" not in v.path]
        assert len(of_weights) % len(trained) == 0 and of_weights
        sizes = sorted(part(v) for v in of_weights)
        slots &= sizes == sorted([part(v) for v in trained] * (len(of_weights) // len(trained)))
    keras.distribution.set_distribution(None)
    errors = {
        what: max((float(np.max(abs(a - b))) for a, b in zip(one[what], eight[what], strict=True)),
                  default=0.0)
        for what in one
    }
    moved = max(abs(a - b).max() for a, b in zip(weights, one["weights"]))
    print(json.dumps([name, errors, parts, slots, float(moved)]))
"""

# Shape of a variable on all devices, and of its part on one of four.
PARTS = {
    "crate": {
        "block_0_mssa/subspaces/kernel": ([16, 16], [16, 4]),
        "block_0_mssa/output_projection/kernel": ([16, 16], [4, 16]),
        "block_0_ista/dictionary/kernel": ([16, 16], [16, 4]),
    },
    "tssa": {
        "block_0_tssa/subspaces/kernel": ([16, 16], [16, 4]),
        "block_0_tssa/output_projection/kernel": ([16, 16], [4, 16]),
        "block_0_tssa/temperature": ([4, 1], [1, 1]),
        "block_0_ista/dictionary/kernel": ([16, 16], [16, 4]),
    },
    "alpha": {
        "block_0_mssa/subspaces/kernel": ([16, 16], [16, 4]),
        "block_0_mssa/output_projection/kernel": ([16, 16], [4, 16]),
        "block_0_overcomplete_ista/dictionary/kernel": ([16, 64], [16, 16]),
        "block_0_overcomplete_ista/output_dictionary/kernel": ([64, 16], [16, 16]),
    },
    "cbt": {
        "block_0_cbsa/subspaces/kernel": ([16, 16], [16, 4]),
        "block_0_cbsa/output_projection/kernel": ([16, 16], [4, 16]),
        "block_0_cbsa/step_x": ([4, 1, 1], [1, 1, 1]),
        "block_0_cbsa/step_rep": ([4, 1, 1], [1, 1, 1]),
        "block_0_ista/dictionary/kernel": ([16, 16], [16, 4]),
    },
    "mae": {
        "block_0_mssa/subspaces/kernel": ([16, 16], [16, 4]),
        "block_0_mssa/output_projection/kernel": ([16, 16], [4, 16]),
        "block_0_ista/dictionary/kernel": ([16, 16], [16, 4]),
        "decoder_block_0_dictionary/kernel": ([16, 16], [16, 4]),
        "decoder_block_0_mssa/subspaces/kernel": ([16, 16], [16, 4]),
        "decoder_block_0_mssa/output_projection/kernel": ([16, 16], [4, 16]),
    },
}


@needs_distribution
def test_eight_devices_train_as_one():
    printed = run_on_devices(8, STEPS).splitlines()
    lines = [json.loads(line) for line in printed if line.startswith('["')]
    assert [name for name, *_ in lines] == list(PARTS)
    for name, errors, parts, slots, moved in lines:
        divided = {path: (whole, part) for path, (whole, part) in parts.items() if whole != part}
        assert divided == PARTS[name]
        assert slots, name
        assert moved > 1e-2  # it was trained
        assert max(errors.values()) < 2e-5, (name, errors)


IMAGES = {"input_shape": (8, 8, 1), "patch_size": 4}
SIZE = {**IMAGES, "classes": 3}


def mesh(*sizes, axes=("batch", "model")):
    devices = [f"cpu:{i}" for i in range(math.prod(sizes))]
    return keras.distribution.DeviceMesh(sizes, list(axes), devices)


@pytest.mark.any_backend
def test_the_mesh_must_have_an_axis_for_the_model():
    with pytest.raises(ValueError, match=r'axis named "model"[^$]*\[\'batch\'\]'):
        layout_map(mesh(8, axes=["batch"]))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "make, parts, message",
    [
        (lambda: CRATE(16, 1, 4, **SIZE), 8, "8 devices .* block_0_mssa/.* 4 heads"),
        (lambda: CRATE(16, 1, 4, compress="tssa", **SIZE), 3, "3 .* block_0_tssa/.* 4 heads"),
        (lambda: CRATEAlpha(16, 1, 2, **SIZE), 4, "4 devices .* block_0_mssa/.* 2 heads"),
        (lambda: CBT(24, 1, 3, representatives=1, **SIZE), 2, "block_0_cbsa/.* 3 heads"),
        (lambda: CRATEMAE(20, 1, 2, **IMAGES), 4, "block_0_mssa/.* 2 heads"),
        (lambda: SimDINO(CRATE(18, 1, 2, include_top=False, **IMAGES)), 4, "mssa/.* 2 heads"),
        (lambda: CRATE(18, 1, 2, compress=ISTA(), **SIZE), 4, "dictionary/.* 18 columns"),
    ],
)
def test_weights_that_devices_cannot_divide_are_refused_by_name(make, parts, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        check_layout(model, mesh(1, parts))
    check_layout(model, mesh(parts, 1))


@pytest.mark.any_backend
def test_a_model_without_weights_to_divide_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="plain")
    with pytest.raises(ValueError, match="'plain' has no weights to divide"):
        check_layout(model, mesh(1, 2))


@pytest.mark.any_backend
def test_adapters_are_divided_as_their_matrix():
    model = CRATEAlpha(16, 1, 4, **SIZE)
    model.enable_lora(2)
    check_layout(model, mesh(1, 4))
    layouts = layout_map(mesh(1, 4))
    divided = {v.path for v in model.weights if "lora" in v.path and layouts[v.path]}
    assert divided == {
        "block_0_mssa/subspaces/lora_kernel_b",
        "block_0_mssa/output_projection/lora_kernel_a",
        "block_0_overcomplete_ista/dictionary/lora_kernel_b",
        "block_0_overcomplete_ista/output_dictionary/lora_kernel_a",
    }
