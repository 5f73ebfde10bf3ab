import numpy as np
import pytest
from PIL import Image

from keras_crate import CRATE
from keras_crate_cli import main


@pytest.fixture(scope="package")
def model_file(tmp_path_factory):
    model = CRATE(
        24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, class_names=["cat", "dog"]
    )
    file = tmp_path_factory.mktemp("model") / "small.keras"
    model.save(file)
    return file


@pytest.fixture
def folder(tmp_path):
    """Two images, and a file that is not an image."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("0.png", "1.jpg"):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3)).astype("uint8")).save(folder / name)
    (folder / "2-broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; returns the error."""

    def run(*words) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 1
        error = capsys.readouterr().err
        # An error has up to four lines.
        assert any(line.startswith("keras-crate: error: ") for line in error.splitlines()[-4:])
        return error

    return run
