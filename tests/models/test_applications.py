"""What users of `keras.applications` pass to constructors."""

import functools

import keras
import numpy as np
import pytest
from compare import assert_close

import keras_crate
from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha, CRATEMAEEncoder

SMALL = {"dim": 24, "depth": 1, "heads": 2, "patch_size": 8}
FAMILIES = pytest.mark.parametrize("family", [CRATE, CRATEAlpha, CBT, CRATEMAEEncoder])
pytestmark = pytest.mark.any_backend


def pixels(*shape):
    return np.random.default_rng(1).uniform(0, 255, (2, *shape)).astype("float32")


@pytest.mark.parametrize(
    "constructor", [keras_crate.CRATETiny, functools.partial(CRATEAlpha, 24, 1, 2)]
)
@pytest.mark.parametrize("first", [False, True])
def test_calls_of_keras_own_test(constructor, first):
    keras.config.set_image_data_format("channels_first" if first else "channels_last")

    def shape(*sides_and_channels):
        *sides, channels = sides_and_channels
        return (channels, *sides) if first else sides_and_channels

    model = constructor(weights=None, include_top=False, input_shape=shape(None, None, 1))
    width = model.get_layer("patch_embedding").dim
    assert model.output_shape == (None, width)
    model = constructor(
        weights=None, include_top=False, pooling=None, input_shape=shape(None, None, 4)
    )
    assert model.output_shape == (None, None, width)
    with pytest.raises(ValueError, match=r"height must be divisible.*Resize the images to height"):
        constructor(weights=None, include_top=False, input_shape=shape(123, 123, 3))
    images = keras.layers.Conv2D(3, 2, strides=2)(keras.Input(shape(192, 192, 4)))
    model = constructor(weights=None, include_top=False, input_tensor=images, pooling="max")
    assert model.input_shape == (None, *shape(192, 192, 4))
    assert model.output_shape == (None, width)


@FAMILIES
def test_pooling(family):
    models = {
        pooling: family(include_top=False, input_shape=(16, 16, 3), pooling=pooling, **SMALL)
        for pooling in (None, "avg", "max")
    }
    tokens = models[None].predict(pixels(16, 16, 3), verbose=0)
    for pooling, expected in (("avg", tokens.mean(axis=1)), ("max", tokens.max(axis=1))):
        models[pooling].set_weights(models[None].get_weights())
        assert_close(models[pooling].predict(pixels(16, 16, 3), verbose=0), expected, atol=1e-5)


@FAMILIES
def test_layers_before(family, tmp_path):
    inputs = keras.Input((32, 32, 4), name="satellite")
    images = keras.layers.Conv2D(3, 2, strides=2, name="to_rgb")(inputs)
    model = family(input_tensor=images, classes=5, **SMALL)
    assert model.input is inputs and model.settings.input_shape == (16, 16, 3)
    bare = family(input_shape=(16, 16, 3), classes=5, **SMALL)
    bare.set_weights(model.get_weights()[2:])
    expected = bare.predict(keras.Model(inputs, images).predict(pixels(32, 32, 4)), verbose=0)
    assert_close(model.predict(pixels(32, 32, 4), verbose=0), expected, atol=1e-5)
    model.quantize("int8")
    expected = model.predict(pixels(32, 32, 4), verbose=0)
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert again.input.name == "satellite"
    assert_close(again.predict(pixels(32, 32, 4), verbose=0), expected, atol=1e-6)


def from_grey(side):
    return keras.layers.Conv2D(3, 2, strides=2, name="to_rgb")(keras.Input((side, side, 1)))


def test_layers_before_fix_the_shape(tmp_path):
    model = CRATE(input_tensor=from_grey(32), classes=5, **SMALL)
    expected = model.predict(pixels(32, 32, 1), verbose=0)
    same = model.with_input_shape((32, 32, 1))
    assert same is not model and same.input_shape == (None, 32, 32, 1)
    assert_close(same.predict(pixels(32, 32, 1), verbose=0), expected, atol=1e-6)
    for shape in ((48, 48, 1), (32, 32, 3), (16, 16, 3)):
        with pytest.raises(
            ValueError, match=r"cannot change(.|\n)*\['to_rgb'\](.|\n)*weights=FILE"
        ):
            model.with_input_shape(shape)
    # What the error advises:
    model.save(tmp_path / "a.keras")
    file = {"weights": tmp_path / "a.keras"}
    again = CRATE(input_tensor=from_grey(32), classes=5, **file, **SMALL)
    assert_close(again.predict(pixels(32, 32, 1), verbose=0), expected, atol=1e-6)
    with pytest.warns(UserWarning, match="resized"):
        larger = CRATE(input_tensor=from_grey(48), classes=5, **file, **SMALL)
    ours, theirs = (m.get_layer("to_rgb").get_weights()[0] for m in (model, larger))
    np.testing.assert_array_equal(ours, theirs)


def test_layers_before_are_left_alone_by_weights(tmp_path):
    saved = CRATE(input_shape=(16, 16, 3), classes=5, **SMALL)
    saved.save(tmp_path / "a.keras")
    images = keras.layers.Conv2D(3, 1, name="to_rgb")(keras.Input((16, 16, 4)))
    before = keras.Model(keras.utils.get_source_inputs(images), images)
    kernel = before.get_weights()[0]
    model = CRATE(weights=tmp_path / "a.keras", input_tensor=images, classes=5, **SMALL)
    np.testing.assert_array_equal(model.get_layer("to_rgb").get_weights()[0], kernel)
    for old, new in zip(saved.get_weights(), model.get_weights()[2:], strict=True):
        np.testing.assert_array_equal(old, new)
    fused = keras_crate.fuse(model)
    expected = model.predict(pixels(16, 16, 4), verbose=0)
    assert_close(fused.predict(pixels(16, 16, 4), verbose=0), expected, atol=1e-5)
    with pytest.raises(ValueError, match="at index 0"):  # the user's images are checked
        keras_crate.objective.measure(model, np.full((1, 16, 16, 4), np.nan))


def test_an_input_of_ones_own():
    images = keras.Input((16, 16, 3), name="photographs", dtype="uint8")
    pair = [CRATE(input_tensor=images, classes=5, **SMALL) for _ in range(2)]
    assert pair[0].input is pair[1].input is images
    again = CRATE.from_config(pair[0].get_config())
    assert (again.input.name, again.input.dtype) == ("photographs", "uint8")
    larger = pair[0].with_input_shape((24, 24, 3))
    assert (larger.input.name, larger.input.dtype) == ("photographs", "uint8")
    assert larger.input_shape == (None, 24, 24, 3)
    mae = CRATEMAE(24, 1, 2, patch_size=8, input_tensor=images)
    assert mae.encoder().input.name == "photographs"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"input_tensor": np.zeros((2, 16, 16, 3))},
            r"must be a symbolic batch of images(.|\n)*a ndarray of shape \(2, 16, 16, 3\)",
        ),
        ({"input_tensor": keras.Input((16,))}, "must be a symbolic batch of images"),
        (
            {"input_tensor": keras.Input((16, 16, 3)), "input_shape": (8, 8, 3)},
            r"be that of `input_tensor`.*\(8, 8, 3\) with .*\(16, 16, 3\)",
        ),
        (
            {"input_tensor": keras.Input((16, 16, 3)), "input_shape": (224, 224, 3)},
            r"be that of `input_tensor`.*\(224, 224, 3\) with .*\(16, 16, 3\)",
        ),
    ],
)
def test_refuses_another_input_tensor(given, message):
    with pytest.raises(ValueError, match=message) as error:
        CRATE(**given, **SMALL)
    assert len(str(error.value)) < 300


def test_a_masked_autoencoder_takes_an_input_only():
    images = keras.layers.Conv2D(3, 1)(keras.Input((16, 16, 4)))
    with pytest.raises(ValueError, match=r"must be a `keras.Input`"):
        CRATEMAE(24, 1, 2, patch_size=8, input_tensor=images)
