"""The images that the page offers: six garments and three digits."""

import functools

from keras_crate.app.pictures import png
from keras_crate.data import garments, load


@functools.cache
def example_images() -> tuple[bytes, ...]:
    """Returns the images as PNG files."""
    images = [*garments()[0], *load("digits").validation.images[:3]]
    return tuple(png(pixels.squeeze()) for pixels in images)
