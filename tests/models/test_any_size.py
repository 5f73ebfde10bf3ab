"""Models for images of any size: height and width are None."""

import keras
import numpy as np
import pytest
from compare import assert_close
from disturb import disturb
from marks import TORCH

import keras_crate
from keras_crate import CRATE, CRATEMAE, CRATEAlpha, CRATEMAEEncoder
from keras_crate.interpret import attention_maps, feature_pyramid

SMALL = {"dim": 24, "depth": 2, "heads": 2, "patch_size": 8, "classes": 5}
ANY = (None, None, 3)


def images(height, width, batch=2):
    pixels = np.random.default_rng(1).uniform(0, 255, (batch, height, width, 3))
    return pixels.astype("float32")


@pytest.mark.parametrize("family", [CRATE, CRATEAlpha, CRATEMAEEncoder])
def test_is_the_same_function_as_with_input_shape(family):
    fixed = disturb(family(input_shape=(32, 24, 3), registers=2, **SMALL))
    model = fixed.with_input_shape(ANY)
    assert model.input_shape == (None, *ANY) and model.output_shape == (None, 5)
    assert model.get_layer("token_embedding").grid == (4, 3)
    for size in ((32, 24), (40, 64), (8, 16)):
        expected = fixed.with_input_shape((*size, 3)).predict(images(*size), verbose=0)
        assert_close(model.predict(images(*size), verbose=0), expected, atol=1e-4)
    back = model.with_input_shape((32, 24, 3))
    for old, new in zip(fixed.get_weights(), back.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_positions_are_trained_through_the_resizing():
    model = CRATE(input_shape=(16, 16, 3), **SMALL).with_input_shape(ANY)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = keras.ops.convert_to_numpy(model.get_layer("token_embedding").positions)
    model.fit(images(24, 16, 4), np.arange(4), verbose=0)
    after = keras.ops.convert_to_numpy(model.get_layer("token_embedding").positions)
    assert (np.abs(after - before).max(axis=-1) > 0).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others know sizes early")
def test_a_graph_that_learns_the_size_when_it_runs():
    import tensorflow as tf

    fixed = CRATE(input_shape=(32, 24, 3), **SMALL)
    model = fixed.with_input_shape(ANY)
    run = tf.function(model, input_signature=[tf.TensorSpec((None, *ANY), "float32")])
    for size in ((32, 24), (40, 64)):
        expected = fixed.with_input_shape((*size, 3)).predict(images(*size), verbose=0)
        assert_close(run(images(*size)), expected, atol=1e-4)


@pytest.mark.any_backend
@pytest.mark.skipif(not TORCH, reason="PyTorch writes this format")
def test_exports_that_would_fix_the_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"SavedModel under TensorFlow only(.|\n)*with_input_sh"):
        CRATE(input_shape=ANY, **SMALL).export(tmp_path / "a.pt2", "torch")


@pytest.mark.any_backend
def test_channels_first():
    last = CRATE(input_shape=(16, 24, 3), **SMALL)
    first = CRATE(input_shape=(3, 16, 24), data_format="channels_first", **SMALL)
    first.set_weights(last.get_weights())
    pixels = images(32, 24)
    expected = last.with_input_shape(ANY).predict(pixels, verbose=0)
    model = first.with_input_shape((3, None, None))
    assert_close(model.predict(pixels.transpose(0, 3, 1, 2), verbose=0), expected, atol=1e-5)


@pytest.mark.any_backend
@pytest.mark.parametrize("form", ["keras", "weights", "fused", "int8"])
def test_survives(form, tmp_path):
    model = disturb(CRATE(input_shape=(32, 24, 3), **SMALL)).with_input_shape(ANY)
    pixels = images(40, 16)
    expected = model.predict(pixels, verbose=0)
    if form == "fused":
        again = keras_crate.fuse(model)
    elif form == "weights":
        model.save_weights(tmp_path / "a.weights.h5")
        again = CRATE(input_shape=ANY, weights=tmp_path / "a.weights.h5", **SMALL)
    else:
        if form == "int8":
            model.quantize("int8")
        model.save(tmp_path / "a.keras")
        again = keras.saving.load_model(tmp_path / "a.keras")
    assert again.get_layer("token_embedding").grid == (4, 3)
    atol = 0.05 if form == "int8" else 1e-5
    assert_close(again.predict(pixels, verbose=0), expected, atol=atol)


@pytest.mark.any_backend
def test_loading_positions_of_another_grid_says_how_to_keep_it(tmp_path):
    saved = disturb(CRATE(input_shape=(32, 24, 3), **SMALL))
    saved.save_weights(tmp_path / "a.weights.h5")
    with pytest.warns(
        UserWarning, match=r"to \(28, 28\). Each call .* grid \(4, 3\).*with_input_sh"
    ):
        CRATE(input_shape=ANY, **SMALL).load_weights(tmp_path / "a.weights.h5")
    fixed = CRATE(input_shape=(32, 24, 3), **SMALL)
    fixed.load_weights(tmp_path / "a.weights.h5")
    model = fixed.with_input_shape(ANY)
    expected = saved.with_input_shape((40, 16, 3)).predict(images(40, 16), verbose=0)
    assert_close(model.predict(images(40, 16), verbose=0), expected, atol=1e-5)


@pytest.mark.any_backend
def test_the_grid_of_the_table():
    def grid(**settings):
        return CRATE(24, 1, 2, input_shape=ANY, **settings).get_layer("token_embedding").grid

    assert grid() == (14, 14)  # that of 224x224 pixels
    assert grid(patch_size=(16, 32)) == (14, 7)
    model = CRATE(24, 1, 2, input_shape=(80, 80, 3))
    tensors = keras_crate.hub.to_pytorch(model)
    assert grid(weights=tensors) == (5, 5)  # the weights'
    again = keras_crate.hub.from_checkpoint(tensors, heads=2, input_shape=ANY)
    assert again.get_layer("token_embedding").grid == (5, 5)


@pytest.mark.any_backend
def test_looks_inside():
    model = CRATE(input_shape=ANY, **SMALL)
    assert attention_maps(model, images(32, 24)).shape == (2, 2, 4, 3)
    assert len(keras_crate.objective.measure(model, images(32, 24)).coding_rate_mean) == 2
    with pytest.raises(ValueError, match=r"images of any size. Pass\s+`model.with_input_shape"):
        feature_pyramid(model)


@pytest.mark.parametrize(
    ("size", "message"),
    [((20, 16), "height must be divisible.*height 20"), ((16, 123), "width must.*width 123")],
)
def test_refuses_images_that_patches_do_not_tile(size, message):
    with pytest.raises(ValueError, match=message):
        CRATE(input_shape=ANY, **SMALL).predict(images(*size), verbose=0)


@pytest.mark.any_backend
def test_refuses_models_of_one_size():
    with pytest.raises(ValueError, match=r"CBSA needs images of one size.*with_input_shape"):
        CRATE(input_shape=ANY, compress="cbsa", **SMALL)
    with pytest.raises(ValueError, match=r"masked autoencoder needs .* one size(.|\n)*encoder"):
        CRATEMAE(24, 1, 2, input_shape=ANY, patch_size=8)
    for shape in ((None, 16, 3), (16, 16, None)):
        with pytest.raises(ValueError, match="Height and width may both be None"):
            CRATE(input_shape=shape, **SMALL)
