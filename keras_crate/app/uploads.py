"""Reads images that users give, within limits."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from keras_crate.evaluation import Evaluation

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
MOST_STRETCHED = 100  # longer side by shorter side: the shorter one may be enlarged
# Pillow reads others, too, some of them by other programs.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")


def read_image(source: Path | bytes, model: keras.Model, evaluation: Evaluation) -> np.ndarray:
    """Reads one image as a model takes it, `(1, *input_shape)`, as `keras-crate predict` does."""
    with _as_file(source) as file:
        check_image(file)
        files = evaluation.images([file], model)
        batches = list(files)
    for reason in files.broken.values():
        raise ValueError(f"The image cannot be read: {reason}.")
    return batches[0]


def check_image(file: Path) -> None:
    """Checks the size of an image by the file's header, before its pixels are decoded."""
    from PIL import Image

    if not file.is_file():
        raise ValueError("The image is no longer here. Choose it again.")
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"The file is too large: at most {MOST_BYTES // 1_000_000} MB are read.")
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:  # Pillow's own limit, which is larger
        width = height = MOST_PIXELS
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise ValueError("The file is not an image that can be read.") from error
    if width * height > MOST_PIXELS:
        raise ValueError(
            f"The image has too many pixels: at most {MOST_PIXELS // 1_000_000} million are read."
        )
    if max(width, height) > MOST_STRETCHED * min(width, height):
        raise ValueError(
            f"The image is too narrow: one side may have {MOST_STRETCHED} times the pixels of the "
            "other."
        )


@contextlib.contextmanager
def _as_file(source: Path | bytes) -> Iterator[Path]:
    if isinstance(source, Path):
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image"
        file.write_bytes(source)
        yield file
