import numpy as np
import pytest
from PIL import Image

from keras_crate.data import ImageFiles


@pytest.fixture
def folder(tmp_path, rng):
    """Three images, two files that are none, and one that is no image by its name."""
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
    assert images.broken[folder / "broken.png"] == "it is no image"


def test_turns_upright_and_does_not_misread_deep_pixels(tmp_path):
    pixels = np.zeros((40, 20, 3), "uint8")
    pixels[:20] = 200  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: bright on the right
    Image.fromarray(pixels).save(tmp_path / "lying.png", exif=exif)
    Image.fromarray(np.full((8, 8), 40000, "uint16")).save(tmp_path / "deep.png")
    images = ImageFiles(tmp_path, (8, 16, 3))
    (batch,) = images
    assert batch[0, :, 10:].min() == 200 and batch[0, :, :6].max() == 0
    assert "no mode but those of 8 bits" in images.broken[tmp_path / "deep.png"]


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
    with pytest.raises(ValueError, match=r"no images in the folder .*empty: .* \.bmp, \.gif"):
        ImageFiles([folder / "empty"], (8, 8, 3))
    with pytest.raises(ValueError, match=r"1, 3 or 4 channels. Received: .* with 2"):
        ImageFiles(folder, (8, 8, 2))
    with pytest.raises(ValueError, match=r"positive integers. Received: input_shape=\(0, 8, 3\)"):
        ImageFiles(folder, (0, 8, 3))
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more"):
        ImageFiles(folder, (8, 8, 3), batch_size=0)
    with pytest.raises(ValueError, match="at least one file or folder"):
        ImageFiles([], (8, 8, 3))
