"""The images that the page offers: six garments and three digits."""

import functools
import io

import numpy as np

from keras_crate.data import load
from keras_crate.training.demo import GARMENTS


@functools.cache
def example_images() -> tuple[bytes, ...]:
    """Returns the images as PNG files."""
    from PIL import Image

    with np.load(GARMENTS) as file:
        images = list(file["images"])
    images += list(load("digits").validation.images[:3])
    files = []
    for pixels in images:
        written = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(written, "png")
        files.append(written.getvalue())
    return tuple(files)
