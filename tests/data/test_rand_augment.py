"""The operations against what torchvision documents of them, by hand-made images."""

import numpy as np
import pytest
from PIL import Image

from keras_crate.data import rand_augment
from keras_crate.data.rand_augment import _OPERATIONS

pytestmark = pytest.mark.any_backend

SIDE = 331  # torchvision's translations are of 150 / 331 of a side


def _point(row, column):
    pixels = np.zeros((SIDE, SIDE), "uint8")
    pixels[row - 2 : row + 3, column - 2 : column + 3] = 255
    return Image.fromarray(pixels)


def _centre(image):
    rows, columns = np.nonzero(np.asarray(image) > 128)
    return rows.mean(), columns.mean()


@pytest.mark.parametrize("sign", [-1, 1])
def test_shifts_shears_and_turns(sign):
    image = _point(100, 60)
    at = {
        name: np.array(_centre(_OPERATIONS[name](image, 14 / 30, sign)))
        for name in ("translate_x", "translate_y", "shear_x", "shear_y", "rotate")
    }
    shift = sign * int(150 * 14 / 30)
    assert np.abs(at["translate_y"] - [100 + shift, 60]).max() <= 1 if sign > 0 else True
    if sign > 0:
        assert np.abs(at["translate_x"] - [100, 60 + shift]).max() <= 1
        level = 0.3 * 14 / 30
        assert np.abs(at["shear_x"] - [100, 60 + level * 100]).max() <= 1.5
        assert np.abs(at["shear_y"] - [100 + level * 60, 60]).max() <= 1.5
    angle = np.deg2rad(sign * 14)
    y, x = 100 - 165.5, 60 - 165.5
    turned = [
        165.5 + y * np.cos(angle) - x * np.sin(angle), 165.5 + x * np.cos(angle) + y * np.sin(angle)
    ]  # fmt: skip
    assert np.abs(at["rotate"] - turned).max() <= 1.5


def test_tones():
    grey = Image.fromarray(np.full((8, 8), 100, "uint8"))
    share = 10 / 30
    assert np.asarray(_OPERATIONS["brightness"](grey, share, 1))[0, 0] == 130
    assert np.asarray(_OPERATIONS["brightness"](grey, share, -1))[0, 0] == 70
    ramp = Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))
    solarized = np.asarray(_OPERATIONS["solarize"](ramp, 0.5, 1)).ravel()
    assert solarized[127] == 127 and solarized[128] == 127 and solarized[255] == 0
    posterized = np.asarray(_OPERATIONS["posterize"](ramp, 14 / 30, 1)).ravel()
    assert len(np.unique(posterized)) == 2**6  # 8 bits less round(14 / 7.5)
    dim = Image.fromarray((np.arange(256, dtype="uint8") // 4).reshape(16, 16))
    assert np.asarray(_OPERATIONS["auto_contrast"](dim, share, 1)).max() == 255
    colours = Image.fromarray(np.full((4, 4, 3), (200, 100, 50), "uint8"))
    washed = np.asarray(_OPERATIONS["color"](colours, 1.0, -1))[0, 0].astype(int)
    assert np.ptp(washed) == pytest.approx(0.1 * 150, abs=2)


def test_solarisation_at_every_magnitude():
    ramp = Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))
    for magnitude in range(31):
        threshold = (255 * (30 - magnitude)) / 30  # what is at it or above is turned
        values = np.arange(256)
        expected = np.where(values >= threshold, 255 - values, values)
        found = np.asarray(_OPERATIONS["solarize"](ramp, magnitude / 30, 1)).ravel()
        np.testing.assert_array_equal(found, expected, err_msg=str(magnitude))


def test_all_operations_are_drawn_and_magnitude_zero_hardly_changes():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 24, 3), dtype="uint8")
    image = Image.fromarray(pixels)
    results = [np.asarray(rand_augment(image, rng, 1, 30)) for _ in range(200)]
    assert len({r.tobytes() for r in results}) > 20  # 14 operations, 9 of them with two directions
    assert all(r.shape == pixels.shape for r in results)
    for name in ("shear_x", "translate_y", "rotate", "brightness", "color", "posterize"):
        np.testing.assert_array_equal(np.asarray(_OPERATIONS[name](image, 0.0, 1)), pixels)
    same = [rand_augment(image, np.random.default_rng(5), 2, 14).tobytes() for _ in range(2)]
    assert same[0] == same[1]


def test_refuses_transparency():
    with pytest.raises(ValueError, match=r"grey or RGB images. Received: an image of mode RGBA"):
        rand_augment(Image.new("RGBA", (4, 4)), np.random.default_rng(0))
