"""Fused models of version 0.1. `tests/models/test_fuse.py` has the other tests of the layers."""

from pathlib import Path

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import needs_int8_configurations

from keras_crate.layers import FusedISTA

SAVED = Path(__file__).parent / "saved_by_0_1"


@pytest.mark.parametrize(
    "name", [pytest.param("fused_mssa_int8", marks=needs_int8_configurations), "fused_tssa"]
)
def test_fused_models_of_version_0_1_load(name):
    """Written by PyTorch, with the outputs for these images."""
    model = keras.saving.load_model(SAVED / f"{name}.keras")
    images = np.random.default_rng(1).uniform(0, 255, (3, 16, 16, 3)).astype("float32")
    expected = np.load(SAVED / "outputs.npz")[name]
    assert_close(model.predict(images, verbose=0), expected, atol=1e-5)


def test_a_fused_ista_of_version_0_1_is_made_from_its_configuration():
    config = FusedISTA(4, identity_apart=True).get_config()
    config["residual_form"] = config.pop("identity_apart")
    assert FusedISTA.from_config(config).identity_apart
