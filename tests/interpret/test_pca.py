import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE
from keras_crate.interpret import intermediates, token_pca
from keras_crate.interpret.pca import pca_colours


@pytest.fixture(scope="module")
def model():
    return CRATE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=5)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(0, 255, (3, 32, 40, 3)).astype("float32")


def test_components_of_all_images_together(model, images):
    """At another size than the model's, against the eigenvectors of the covariance."""
    found = token_pca(model, images, layer=0, foreground=False)
    assert found.rgb.shape == (3, 4, 5, 3) and found.foreground.shape == (3, 4, 5)
    (maps,) = intermediates(model, images, [0], what="map")
    centred = maps.reshape(-1, 24) - maps.reshape(-1, 24).mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    assert_close(found.explained_variance_ratio, values[:-4:-1] / values.sum(), atol=1e-5)
    first = (centred @ vectors[:, -1]).reshape(3, 4, 5)
    agreement = np.corrcoef(first.ravel(), found.first_component.ravel())[0, 1]
    assert_close(abs(agreement), 1.0, atol=1e-5)
    for k in range(3):
        component = (centred @ vectors[:, -1 - k]).reshape(3, 4, 5)
        order = np.corrcoef(component.ravel(), found.rgb[..., k].ravel())[0, 1]
        assert abs(order) > 0.97  # the ends are clipped
    assert found.rgb.min() == 0 and found.rgb.max() == 1


def test_the_foreground_is_the_side_that_the_borders_have_less_of(model, images):
    found = token_pca(model, images, layer=1)
    border = np.ones((4, 5), bool)
    border[1:-1, 1:-1] = False
    assert found.foreground[:, border].mean() <= 0.5
    np.testing.assert_array_equal(found.foreground, found.first_component > 0)
    assert (found.rgb[~found.foreground] == 0).all() and found.rgb[found.foreground].any()
    (maps,) = intermediates(model, images, [1], what="map")
    rgb, _ = pca_colours(maps, found.foreground)  # fitted to the foreground alone
    assert_close(found.rgb, rgb, atol=1e-5)


def test_images_in_which_nothing_varies(model):
    found = token_pca(model, np.zeros((2, 32, 32, 3), "float32"), what="keys")
    assert np.isfinite(found.rgb).all()


def test_refusals(model, images):
    with pytest.raises(ValueError, match=r"at least 4 patches of 3 features. Received: 2 patches"):
        token_pca(model, images[:1, :8, :16], foreground=False)
    with pytest.raises(ValueError, match="`what` must be one of 'tokens', 'keys'"):
        token_pca(model, images, what="map")
