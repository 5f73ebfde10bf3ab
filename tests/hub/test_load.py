import numpy as np
import pytest
from compare import assert_close, outputs

import keras_crate

pytestmark = pytest.mark.any_backend


@pytest.fixture
def model():
    return keras_crate.CRATE(8, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)


def test_a_keras_file(model, tmp_path):
    file = tmp_path / "a.keras"
    model.save(file)
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 1)).astype("float32")
    assert_close(outputs(keras_crate.load(file), images), outputs(model, images), atol=0)
    with pytest.raises(ValueError, match=r"loaded as it is. .*with classes.\nFor .*weights="):
        keras_crate.load(file, classes=2)


def test_other_files_are_for_constructors(model, tmp_path):
    file = tmp_path / "a.weights.h5"
    model.save_weights(file)
    with pytest.raises(ValueError, match=r"a.weights.h5.\nFor other files .*pass weights="):
        keras_crate.load(file)


def test_without_preprocessing():
    model = keras_crate.load("crate_demo_mnist", include_preprocessing=False)
    assert model.settings.mean is None
    images = np.zeros((1, 28, 28, 1), "float32")
    whole = keras_crate.load("crate_demo_mnist")
    normalised = (images / 255 - whole.settings.mean) / whole.settings.std
    found = outputs(model, normalised.astype("float32"))
    assert_close(found, outputs(whole, images), atol=1e-5)
    with pytest.raises(ValueError, match="belong to the preprocessing"):
        keras_crate.load("crate_demo_mnist", include_preprocessing=False, mean=0.1, std=0.1)
