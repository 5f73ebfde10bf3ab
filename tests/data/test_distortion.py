import numpy as np
import pytest
from compare import assert_close

from keras_crate.data.distortion import distort

pytestmark = pytest.mark.any_backend

STILL = {"shift": 0.0, "rotation": 0.0, "zoom": 0.0, "shear": 0.0}


def _images(n=4):
    return np.random.default_rng(1).integers(0, 256, (n, 9, 11, 2)).astype("uint8")


def test_without_distortion_nothing_changes():
    images = _images()
    assert_close(distort(images, np.random.default_rng(0), **STILL), images, atol=1e-4)


def test_same_state_same_images_and_each_its_own():
    images = np.repeat(_images(1), 3, axis=0)
    first, second = (distort(images, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first[0] - first[1]).max() > 1
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 255


def test_a_shift_moves_pixels_and_leaves_black():
    image = np.full((1, 9, 11, 1), 100, "uint8")

    class Least:  # draws the low end of every range
        def uniform(self, low, high, size):
            return np.full(size, low)

    moved = distort(image, Least(), **{**STILL, "shift": 2.0})
    assert_close(moved[0, 2:, 2:], np.full((7, 9, 1), 100.0), atol=1e-4)
    assert (moved[0, :2] == 0).all() and (moved[0, :, :2] == 0).all()


def test_a_rotation_keeps_distances_from_the_centre():
    image = np.zeros((1, 21, 21, 1), "uint8")
    image[0, 10, 16] = 255

    class Least:
        def uniform(self, low, high, size):
            return np.full(size, low)

    turned = distort(image, Least(), **{**STILL, "rotation": 90.0})[0, ..., 0]
    assert turned.argmax() in (4 * 21 + 10, 16 * 21 + 10)
    assert turned.max() > 250
