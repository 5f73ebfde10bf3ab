import keras
import numpy as np
import oracle
import pytest
from compare import assert_close

from keras_crate import CRATE
from keras_crate.interpret import attention_maps, rollout


@pytest.fixture(scope="module")
def model():
    return CRATE(24, 2, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 16, 32, 3)).astype("float32")


def _scores(model, images, block):
    inside = keras.Model(model.input, model.get_layer(f"block_{block}_norm_1").output)
    u = model.get_layer(f"block_{block}_mssa").get_weights()[0]
    return oracle.mssa_scores(inside.predict(images, verbose=0).astype("float64"), u, heads=2)


def test_maps_are_the_class_tokens_scores(model, images):
    maps = attention_maps(model, images, layer=0, batch_size=2)
    assert maps.shape == (3, 2, 2, 4)
    scores = _scores(model, images, 0)
    assert_close(maps.reshape(3, 2, 8), scores[:, :, 0, 1:], atol=2e-5)
    last, first = attention_maps(model, images, layer=[1, 0])
    assert_close(first, maps, atol=1e-6)
    assert_close(attention_maps(model, images), last, atol=1e-6)  # the last layer by default
    assert np.abs(last - maps).max() > 1e-4


def test_images_with_other_channels(model, images):
    with pytest.raises(ValueError, match=r"of 3 channels. Received: .*\(3, 16, 32, 1\)"):
        attention_maps(model, images[..., :1])


def test_maps_of_any_token(model, images):
    scores = _scores(model, images, 1)
    maps = attention_maps(model, images, token=3)
    assert_close(maps.reshape(3, 2, 8), scores[:, :, 3, 1:], atol=2e-5)
    assert_close(attention_maps(model, images, token=None), scores, atol=2e-5)
    with pytest.raises(
        ValueError, match=r"`token` must be from 0 \(the class token\) to 8.*token=9"
    ):
        attention_maps(model, images, token=9)


def test_rollout_multiplies_the_blocks(model, images):
    mixed = [0.5 * _scores(model, images, i).mean(axis=1) + 0.5 * np.eye(9) for i in (0, 1)]
    expected = (mixed[1] @ mixed[0])[:, 0, 1:].reshape(3, 2, 4)
    assert_close(rollout(model, images, batch_size=2), expected, atol=2e-5)


def test_images_of_another_size(model, images):
    larger = np.repeat(images, 2, axis=1)
    maps = attention_maps(model, larger)
    expected = attention_maps(model.with_input_shape((32, 32, 3)), larger)
    assert maps.shape == (3, 2, 4, 4)
    assert_close(maps, expected, atol=1e-6)


def test_refuses_a_block_that_does_not_exist(model, images):
    with pytest.raises(ValueError, match=r"numbers 0, 1. Negative .* Received: \[2\]"):
        attention_maps(model, images, layer=2)
    wrapper = keras.Sequential([keras.Input((16, 32, 3)), model])
    with pytest.raises(ValueError, match=r"white-box blocks.*pass `model.get_layer"):
        attention_maps(wrapper, images)


def test_refuses_images_it_cannot_take(model, images):
    with pytest.raises(ValueError, match=r"one image: pass `images\[None\]`"):
        attention_maps(model, images[0])
    with pytest.raises(ValueError, match="width must be divisible"):
        attention_maps(model, images[:, :, :20])
