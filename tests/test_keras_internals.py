import gc
import weakref

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import TORCH

from keras_crate import CRATE, CRATEMAE
from keras_crate.keras_internals import run_graph
from keras_crate.models.white_box import WhiteBoxModel

pytestmark = pytest.mark.skipif(not TORCH, reason="only PyTorch runs graphs eagerly")


def _images():
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    return keras.ops.convert_to_tensor(images)


@pytest.mark.parametrize("family", [CRATE, CRATEMAE])
def test_agrees_with_keras_own_way(family):
    model = family(24, 2, 3, input_shape=(16, 16, 3), patch_size=8)
    # Random masks would differ: all layers but the one that draws them.
    values = {"patch_noise": keras.ops.convert_to_tensor(np.random.rand(2, 4).astype("float32"))}

    def operation_fn(layer):
        return lambda *args, **kwargs: (
            values[layer.name] if layer.name in values else layer(*args, **kwargs)
        )

    expected = super(WhiteBoxModel, model)._run_through_graph(_images(), operation_fn)
    found = run_graph(model, _images(), operation_fn)
    keras.tree.assert_same_structure(found, expected)
    for ours, keras_own in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        assert_close(ours, keras_own, atol=0)


def test_forgets_what_nothing_reads_any_more():
    model = CRATE(24, 6, 3, input_shape=(16, 16, 3), patch_size=8)
    alive, given = [], []

    def operation_fn(layer):
        def call(*args, **kwargs):
            outputs = layer(*args, **kwargs)
            given.append(weakref.ref(outputs))
            gc.collect()
            alive.append(sum(ref() is not None for ref in given))
            return outputs

        return call

    import torch

    with torch.no_grad():
        model._run_through_graph(_images(), operation_fn)
    assert len(given) > 30 and max(alive) <= 4
