"""The images that the page offers: six garments and three digits."""

import functools
import io

from keras_crate.data import garments, load


@functools.cache
def example_images() -> tuple[bytes, ...]:
    """Returns the images as PNG files."""
    from PIL import Image

    images = [*garments()[0], *load("digits").validation.images[:3]]
    files = []
    for pixels in images:
        written = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(written, "png")
        files.append(written.getvalue())
    return tuple(files)
