"""Quantised models beyond int8, which `FamilyChecks` tests."""

import keras
import numpy as np
import pytest
from compare import assert_close

import keras_crate

SMALL = {"dim": 24, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def images(batch=2):
    return np.random.default_rng(1).uniform(0, 255, (batch, 16, 16, 3)).astype("float32")


@pytest.mark.any_backend
@pytest.mark.parametrize("config", ["GPTQConfig", "AWQConfig"])
def test_modes_that_calibrate_on_text_are_refused(config):
    if not hasattr(keras.quantizers, config):
        pytest.skip("this Keras has no such mode")
    model = keras_crate.CRATE(**SMALL)
    before = [(w.path, w.dtype) for w in model.weights]
    config = getattr(keras.quantizers, config)(dataset=["a"], tokenizer=str.split)
    for arguments in ({"mode": config.mode, "config": config}, {"config": config}):
        with pytest.raises(ValueError, match=r"calibrates '\w+' on text only(.|\n)*No layer was"):
            model.quantize(**arguments)
    assert [(w.path, w.dtype) for w in model.weights] == before


@pytest.mark.any_backend
@pytest.mark.parametrize("family", [keras_crate.CRATE, keras_crate.CRATEMAE])
def test_a_quantised_policy(family, tmp_path):
    exact = family(**SMALL)
    exact.save(tmp_path / "a.keras")
    model = family(dtype="int8_from_float32", weights=tmp_path / "a.keras", **SMALL)
    exact.quantize("int8")
    for ours, theirs in zip(exact.weights, model.weights, strict=True):
        assert_close(ours, theirs, atol=0)
    model.save(tmp_path / "b.keras")
    again = keras.saving.load_model(tmp_path / "b.keras")
    assert [w.dtype for w in again.weights] == [w.dtype for w in model.weights]
