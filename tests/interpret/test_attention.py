import keras
import numpy as np
import oracle
import pytest
from compare import assert_close

from keras_crate import CRATE
from keras_crate.interpret import attention_maps


def test_maps_are_the_class_tokens_scores(rng):
    model = CRATE(24, 2, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)
    images = rng.uniform(0, 255, (3, 16, 32, 3)).astype("float32")
    maps = attention_maps(model, images, layer=0, batch_size=2)
    assert maps.shape == (3, 2, 2, 4)
    inside = keras.Model(model.input, model.get_layer("block_0_norm_1").output)
    u = model.get_layer("block_0_mssa").get_weights()[0]
    scores = oracle.mssa_scores(inside.predict(images, verbose=0).astype("float64"), u, heads=2)
    assert_close(maps.reshape(3, 2, 8), scores[:, :, 0, 1:], atol=2e-5)
    assert np.abs(attention_maps(model, images) - maps).max() > 1e-4  # the last layer by default


def test_refuses_a_block_that_does_not_exist():
    model = CRATE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    with pytest.raises(ValueError, match=r"from -2 to 1. Received: layer=2"):
        attention_maps(model, np.zeros((1, 16, 16, 3)), layer=2)
    wrapper = keras.Sequential([keras.Input((16, 16, 3)), model])
    with pytest.raises(ValueError, match=r"white-box blocks.*pass `model.get_layer"):
        attention_maps(wrapper, np.zeros((1, 16, 16, 3)))
