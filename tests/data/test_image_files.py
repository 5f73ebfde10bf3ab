import io
import resource

import numpy as np
import pytest
from large_pictures import large_jpeg, large_png
from PIL import Image

from keras_crate.data import ImageFiles

pytestmark = pytest.mark.any_backend


@pytest.fixture
def folder(tmp_path, rng):
    """Three images, two broken ones, a folder and a text file."""
    for name, size in (("b.png", (20, 10)), ("a.jpg", (10, 10)), ("deeper/c.PNG", (10, 30))):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 255, (*size[::-1], 3)).astype("uint8")
        Image.fromarray(pixels).save(file)
    (tmp_path / "broken.png").write_bytes(b"no image")
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_reads_a_folder_and_sets_broken_files_aside(folder):
    images = ImageFiles(folder, (8, 8, 3), batch_size=2)
    assert len(images) == 3
    for _ in range(2):  # again gives the same
        batches = list(images)
        assert [batch.shape for batch in batches] == [(2, 8, 8, 3), (1, 8, 8, 3)]
        assert [file.name for file in images.read] == ["a.jpg", "b.png", "c.PNG"]
        assert {file.name for file in images.broken} == {"broken.png", "cut.png"}
    assert images.broken[folder / "broken.png"] == "it is not an image"


def test_rotates_by_exif_and_does_not_misread_deep_pixels(tmp_path):
    pixels = np.zeros((40, 20, 3), "uint8")
    pixels[:20] = 200  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: bright on the right
    Image.fromarray(pixels).save(tmp_path / "lying.png", exif=exif)
    Image.fromarray(np.full((8, 8), 40000, "uint16")).save(tmp_path / "deep.png")
    images = ImageFiles(tmp_path, (8, 16, 3))
    (batch,) = images
    assert batch[0, :, 10:].min() == 200 and batch[0, :, :6].max() == 0
    assert "must have 8 bits" in images.broken[tmp_path / "deep.png"]


def test_crops_the_centre_and_resizes(tmp_path):
    pixels = np.zeros((40, 80, 3), "uint8")
    pixels[:, 20:60] = 200  # the square in the middle
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (batch,) = ImageFiles([tmp_path / "wide.png"], (10, 10, 3))
    assert batch.shape == (1, 10, 10, 3) and batch.min() > 170  # antialiased at its edges
    np.testing.assert_array_equal(batch[:, :, 1:-1], np.full((1, 10, 8, 3), 200.0))


@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels_and_layouts(folder, channels):
    (batch,) = ImageFiles(folder / "b.png", (channels, 8, 12), data_format="channels_first")
    assert batch.shape == (1, channels, 8, 12)


def test_refusals(folder):
    with pytest.raises(ValueError, match=r"no file or folder .*nowhere"):
        ImageFiles(folder / "nowhere", (8, 8, 3))
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no images in the folder .*empty. .* \.bmp, \.gif"):
        ImageFiles([folder / "empty"], (8, 8, 3))
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels. Received: shape \(8, 8, 2\)"):
        ImageFiles(folder, (8, 8, 2))
    with pytest.raises(ValueError, match=r"1 or more, .*Received: shape \(0, 8, 3\)"):
        ImageFiles(folder, (0, 8, 3))
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        ImageFiles(folder, (8, 8, 3), batch_size=0)
    with pytest.raises(ValueError, match="at least one file or folder"):
        ImageFiles([], (8, 8, 3))


def _places(width, height):
    """An image whose pixels are their own positions: x in red, y in green."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, 0 * x], axis=-1).astype("uint8")


def _save(pixels, file):
    Image.fromarray(pixels).save(file)
    return file


@pytest.mark.parametrize(
    ("crop", "top", "left"),
    [
        ((16, 17), 2, 6),  # torchvision rounds 2.5 down, to even; 6.5 likewise
        ((14, 15), 4, 8),  # and 3.5 up; 7.5 likewise
    ],
)
def test_cuts_the_centre_where_torchvision_does(tmp_path, crop, top, left):
    file = _save(_places(30, 21), tmp_path / "wide.png")
    (batch,) = ImageFiles(file, (*crop, 3), resize=21)
    np.testing.assert_array_equal(batch[0, 0, :, 0], np.arange(left, left + crop[1]))
    np.testing.assert_array_equal(batch[0, :, 0, 1], np.arange(top, top + crop[0]))


def test_an_image_that_is_too_small_is_padded_as_torchvision_does(tmp_path):
    file = _save(_places(10, 30) + np.uint8(1), tmp_path / "narrow.png")
    (batch,) = ImageFiles(file, (13, 13, 3), resize=10)
    row = [0, *range(1, 11), 0, 0]  # a pixel more on the right
    np.testing.assert_array_equal(batch[0, :, :, 0], np.tile(row, (13, 1)))
    np.testing.assert_array_equal(batch[0, :, 5, 1], np.arange(13) + 8 + 1)


KERNELS = {  # as functions of the distance, and how far they reach
    "bilinear": (lambda x: 1 - x, 1),
    "bicubic": (
        lambda x: np.where(
            x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        ),
        2,
    ),
    "area": (lambda x: np.ones_like(x), 0.5),
}


def _weights(before, after, interpolation):
    """The matrix that resizes an axis: the kernel, widened where pixels get fewer."""
    kernel, reach = KERNELS[interpolation]
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale
    distance = (np.arange(before) + 0.5 - centres[:, np.newaxis]) / max(scale, 1)
    inside = np.abs(distance) < reach
    if interpolation == "area":  # half open, as pixels are
        inside = (distance > -reach) & (distance <= reach)
    weights = np.where(inside, kernel(np.abs(distance)), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def _resized(pixels, height, width, interpolation):
    rows = _weights(pixels.shape[0], height, interpolation)
    columns = _weights(pixels.shape[1], width, interpolation)
    return np.clip(np.einsum("ih,hwc,jw->ijc", rows, pixels, columns), 0, 255)


@pytest.mark.parametrize("interpolation", KERNELS)
@pytest.mark.parametrize(
    ("size", "resize", "scaled", "crop", "corner"),
    [
        ((40, 25), 16, (16, 25), (12, 12), (2, 6)),  # 25.6 pixels wide, rounded down
        ((25, 41), 16, (26, 16), (12, 12), (7, 2)),
        ((20, 21), 30, (31, 30), (30, 30), (0, 0)),  # to more pixels
        ((40, 25), (9, 31), (9, 31), (9, 31), (0, 0)),  # as a whole
    ],
)
def test_resizes_as_computed_another_way(
    tmp_path, rng, interpolation, size, resize, scaled, crop, corner
):
    coarse = rng.integers(60, 190, (*size[::-1], 3))  # bicubic is not cut off on the way
    file = _save(coarse.astype("uint8"), tmp_path / "noise.png")
    (batch,) = ImageFiles(file, (*crop, 3), resize=resize, interpolation=interpolation)
    (top, left), (height, width) = corner, crop
    expected = _resized(coarse, *scaled, interpolation)
    expected = expected[top : top + height, left : left + width]
    np.testing.assert_allclose(batch[0], expected, atol=1.2)  # Pillow rounds twice


def test_the_interpolation_counts_where_nothing_else_is_asked_for(tmp_path, rng):
    coarse = rng.integers(60, 190, (24, 24, 3))
    file = _save(coarse.astype("uint8"), tmp_path / "noise.png")
    (batch,) = ImageFiles(file, (8, 8, 3), interpolation="area")
    expected = coarse.reshape(8, 3, 8, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(batch[0], expected, atol=1.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"resize": 0}, "`resize` must be None, a positive integer .*Received: resize=0"),
        ({"resize": True}, "Received: resize=True"),
        ({"resize": 8.5}, r"Received: resize=8\.5"),
        ({"resize": (8, 8, 8)}, r"height and width .*Received: resize=\(8, 8, 8\)"),
        ({"resize": (8, 9)}, r"of the resized images, \(8, 8\). Received: resize=\(8, 9\)"),
        ({"interpolation": "nearest"}, r"'bilinear', 'bicubic', 'area'. Received: .*'nearest'"),
        ({"interpolation": None}, "`interpolation` must be one of"),
    ],
)
def test_refuses_resizing_that_there_is_not(folder, given, message):
    with pytest.raises(ValueError, match=message):
        ImageFiles(folder, (8, 8, 3), **given)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("form", ["png", "jpeg", "narrow"])
def test_pictures_of_too_many_pixels_are_left_out_before_they_take_memory(form, tmp_path):
    content = io.BytesIO()
    # Of the narrow one, resizing would make 256 x 5,120,000 pixels.
    Image.new("RGB", (1, 20_000) if form == "narrow" else (8, 8)).save(content, "JPEG")
    small = content.getvalue()
    content = {"png": large_png(), "jpeg": large_jpeg(small), "narrow": small}[form]
    (tmp_path / "large.img").write_bytes(content)
    images = ImageFiles([tmp_path / "large.img"], (224, 224, 3), resize=256)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert list(images) == []
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    (reason,) = images.broken.values()
    wanted = "256 x 5,120,000" if form == "narrow" else "13,300 x 13,300"
    assert f"it has {wanted} pixels, and at most 89,478,485 are decoded" in reason
    if form == "narrow":
        (batch,) = ImageFiles([tmp_path / "large.img"], (224, 224, 3))
        assert batch.shape == (1, 224, 224, 3)
