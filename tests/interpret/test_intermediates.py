import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEAlpha
from keras_crate.interpret import intermediates


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 16, 32, 3)).astype("float32")


@pytest.mark.parametrize(("family", "last"), [(CRATE, "ista"), (CRATEAlpha, "add_2")])
def test_tokens_and_maps(family, last, images):
    model = family(24, 3, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)
    names = [f"block_{i}_{last}" for i in range(3)]
    inside = keras.Model(model.input, [model.get_layer(name).output for name in names])
    expected = inside.predict(images, verbose=0)
    found = intermediates(model, images, batch_size=2)
    assert len(found) == 3
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, atol=1e-5)
    (tokens,) = intermediates(model, images, layers=[-2])
    assert_close(tokens, expected[1], atol=1e-5)
    first, final = intermediates(model, images, layers=[0, 2], what="map")
    assert first.shape == (3, 2, 4, 24)
    assert_close(final[:, 1, 2], expected[2][:, 1 + 4 + 2], atol=1e-5)


def test_images_of_another_size(images):
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    (tokens,) = intermediates(model, images, what="map")
    assert tokens.shape == (3, 2, 4, 24)


def test_refusals(images):
    model = CRATE(24, 1, 2, input_shape=(16, 32, 3), patch_size=8, classes=5)
    with pytest.raises(ValueError, match=r"numbers 0. Negative .* Received: \[0, 1\]"):
        intermediates(model, images, layers=[0, 1])
    with pytest.raises(ValueError, match=r"`what` must be one of 'tokens', 'map', 'keys'.*'maps'"):
        intermediates(model, images, what="maps")
