"""The operations against what torchvision documents of them, by hand-made images."""

import numpy as np
import pytest
from PIL import Image

from keras_crate.data import rand_augment
from keras_crate.data.rand_augment import operations_on

pytestmark = pytest.mark.any_backend

SIDE = 331  # torchvision's translations are of 150 / 331 of a side


def _point(row, column):
    pixels = np.zeros((SIDE, SIDE), "uint8")
    pixels[row - 2 : row + 3, column - 2 : column + 3] = 255
    return Image.fromarray(pixels)


def _changed(name, image, share, sign=1):
    return np.asarray(operations_on(image, share, sign)[name]())


def _centre(pixels):
    rows, columns = np.nonzero(pixels > 128)
    return rows.mean(), columns.mean()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("translate_x", lambda sign: [0, sign * int(150 * 14 / 30)]),
        ("translate_y", lambda sign: [sign * int(150 * 14 / 30), 0]),
        ("shear_x", lambda sign: [0, sign * 0.3 * 14 / 30 * 180]),
        ("shear_y", lambda sign: [sign * 0.3 * 14 / 30 * 150, 0]),
        ("rotate", lambda sign: _rotation(180 - 165.5, 150 - 165.5, np.deg2rad(sign * 14))),
    ],
)
def test_shifts_shears_and_rotations(name, move, sign):
    found = _centre(_changed(name, _point(180, 150), 14 / 30, sign))
    np.testing.assert_allclose(found, np.array([180, 150]) + move(sign), atol=1.5)


def _rotation(y, x, angle):
    return [
        y * np.cos(angle) - x * np.sin(angle) - y,
        x * np.cos(angle) + y * np.sin(angle) - x,
    ]


def test_tones():
    grey = Image.fromarray(np.full((8, 8), 100, "uint8"))
    share = 10 / 30
    assert _changed("brightness", grey, share)[0, 0] == 130
    assert _changed("brightness", grey, share, -1)[0, 0] == 70
    ramp = Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))
    solarized = _changed("solarize", ramp, 0.5).ravel()
    assert solarized[127] == 127 and solarized[128] == 127 and solarized[255] == 0
    posterized = _changed("posterize", ramp, 14 / 30).ravel()
    assert len(np.unique(posterized)) == 2**6  # 8 bits less round(14 / 7.5)
    dim = Image.fromarray((np.arange(256, dtype="uint8") // 4).reshape(16, 16))
    assert _changed("auto_contrast", dim, share).max() == 255
    colours = Image.fromarray(np.full((4, 4, 3), (200, 100, 50), "uint8"))
    washed = _changed("color", colours, 1.0, -1)[0, 0].astype(int)
    assert np.ptp(washed) == pytest.approx(0.1 * 150, abs=2)


def test_solarisation_at_every_magnitude():
    ramp = Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))
    for magnitude in range(31):
        threshold = (255 * (30 - magnitude)) / 30  # what is at it or above is turned
        values = np.arange(256)
        expected = np.where(values >= threshold, 255 - values, values)
        found = _changed("solarize", ramp, magnitude / 30).ravel()
        np.testing.assert_array_equal(found, expected, err_msg=str(magnitude))


def test_all_operations_are_drawn_and_magnitude_zero_hardly_changes():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 24, 3), dtype="uint8")
    image = Image.fromarray(pixels)
    results = [np.asarray(rand_augment(image, rng, 1, 30)) for _ in range(200)]
    assert len({r.tobytes() for r in results}) > 20  # 14 operations, 9 of them with two directions
    assert all(r.shape == pixels.shape for r in results)
    for name in ("shear_x", "translate_y", "rotate", "brightness", "color", "posterize"):
        np.testing.assert_array_equal(_changed(name, image, 0.0), pixels)
    same = [rand_augment(image, np.random.default_rng(5), 2, 14).tobytes() for _ in range(2)]
    assert same[0] == same[1]


def test_refuses_transparency():
    with pytest.raises(ValueError, match=r"grey or RGB images. Received: an image of mode RGBA"):
        rand_augment(Image.new("RGBA", (4, 4)), np.random.default_rng(0))
