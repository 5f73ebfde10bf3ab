"""Quantised models beyond int8, which `FamilyChecks` tests."""

import keras
import numpy as np
import pytest
from compare import assert_close, outputs

import keras_crate

SMALL = {"dim": 24, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def images(batch=2):
    return np.random.default_rng(1).uniform(0, 255, (batch, 16, 16, 3)).astype("float32")


@pytest.mark.any_backend
@pytest.mark.parametrize("mode", ["gptq", "awq"])
def test_modes_that_calibrate_on_text_are_refused(mode):
    model = keras_crate.CRATE(**SMALL)
    before = [(w.path, w.dtype) for w in model.weights]
    calls = [{"mode": mode}]
    make_config = getattr(getattr(keras, "quantizers", None), f"{mode.upper()}Config", None)
    if make_config:  # older versions of Keras have none
        config = make_config(dataset=["a"], tokenizer=str.split)
        calls.append({"mode": mode, "config": config})
        if hasattr(config, "mode"):  # it need not be repeated
            calls.append({"config": config})
    for arguments in calls:
        with pytest.raises(
            ValueError, match=rf"calibrates '{mode}' on text only(.|\n)*No layer was"
        ):
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


def quantised(model, mode):
    if mode == "int4" and not hasattr(getattr(keras, "quantizers", None), "pack_int4"):
        pytest.skip("this Keras has no int4")
    model.quantize(mode)
    return model


def adapted(model):
    model.enable_lora(2)
    for weight in model.weights:
        if "lora" in weight.path:
            weight.assign(np.random.default_rng(1).normal(scale=0.1, size=weight.shape))
    return model


@pytest.mark.parametrize("mode", ["int4", "float8"])
def test_survives_saving(mode, tmp_path):
    exact = keras_crate.CRATE(classes=5, classifier_activation=None, **SMALL)
    before = outputs(exact, images())
    model = quantised(exact, mode)
    expected = outputs(model, images())
    assert 0 < np.abs(expected - before).max() < 0.5 * np.abs(before).max()
    if mode == "float8":  # which is for training
        model.compile("sgd", "mse")
        model.fit(images(), np.zeros((2, 5)), verbose=0)
        expected = outputs(model, images())
    for turn in range(2):
        model.save(tmp_path / f"{turn}.keras")
        model = keras.saving.load_model(tmp_path / f"{turn}.keras")
        assert_close(outputs(model, images()), expected, atol=1e-6)
    same = model.with_input_shape((16, 16, 3))
    assert_close(outputs(same, images()), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["int8", pytest.param("int4", marks=pytest.mark.any_backend)])
@pytest.mark.parametrize("fused", [False, pytest.param(True, marks=pytest.mark.any_backend)])
def test_adapters_are_saved_exactly(mode, fused, tmp_path):
    model = keras_crate.CRATE(classes=5, classifier_activation=None, **SMALL)
    model = quantised(keras_crate.fuse(model) if fused else model, mode)
    without = outputs(model, images())
    expected = outputs(adapted(model), images())
    assert np.abs(expected - without).max() > 0.01
    model.save_weights(tmp_path / "a.weights.h5")
    for turn in range(2):
        model.save(tmp_path / f"{turn}.keras")
        model = keras.saving.load_model(tmp_path / f"{turn}.keras")
        np.testing.assert_array_equal(outputs(model, images()), expected)
    again = type(model).from_config(model.get_config())
    again.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(outputs(again, images()), expected)


@pytest.mark.any_backend
def test_adapters_of_ones_own_operators_are_saved_exactly(tmp_path):
    @keras.saving.register_keras_serializable("test")
    class Rebuild(keras_crate.layers.CompositeLayer):
        def build(self, input_shape):
            self.map = self.make_sublayer(
                keras.layers.Dense, "map", input_shape, units=input_shape[-1]
            )
            self.built = True

        def call(self, inputs):
            return keras.ops.relu(self.map(inputs))

    model = keras_crate.CRATE(sparsify=Rebuild, classes=5, **SMALL)
    model.quantize("int8")
    expected = outputs(adapted(model), images())
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(outputs(again, images()), expected)


@pytest.mark.any_backend
def test_adapters_that_the_model_does_not_have(tmp_path):
    model = keras_crate.CRATE(classes=5, **SMALL)
    model.quantize("int8")
    plain = type(model).from_config(model.get_config())
    adapted(model).save_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"adapters of LoRA(.|\n)*enable_lora\(2\)"):
        plain.load_weights(tmp_path / "a.weights.h5")


@pytest.mark.any_backend
def test_float8_takes_no_adapters():
    model = keras_crate.CRATE(classes=5, **SMALL)
    model.quantize("float8")
    with pytest.raises(ValueError, match="float8 model takes no adapters"):
        model.enable_lora(2)
    model = adapted(keras_crate.CRATE(classes=5, **SMALL))
    with pytest.raises(ValueError, match="adapters of LoRA cannot be quantised to float8"):
        model.quantize("float8")
    assert not any(getattr(x, "quantization_mode", None) for x in model._flatten_layers())
