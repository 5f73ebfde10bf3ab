"""Finds images that are far from those that a model was trained on, in size or channels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.data.image_files import opened

# A model of smaller images was trained on small images as a whole, such as digits. One of larger
# images was trained on photographs, which are reduced whatever their size.
_SMALL = 96  # pixels
_FACTOR = 4
_NOISE = 12  # of 255: difference between the channels of a grey image, after JPEG


def describe_far_images(files: Sequence[Path], size: tuple[int, int], grey: bool) -> str | None:
    """Returns a line about images that are far from the model's, or None if none is.

    An image is far if it has colours and the model takes grey images, or the other
    way round; if its shorter side is less than a quarter of the model's; or if the
    model's images are smaller than 96 pixels and the image is four times larger.
    """
    far = []
    for file in files:
        with opened(file) as image:
            ratio = min(image.size) / min(size)
            too_large = min(size) < _SMALL and ratio >= _FACTOR
            is_grey = _is_grey(image)
            if is_grey != grey or too_large or ratio < 1 / _FACTOR:
                found = _kind(is_grey, (image.height, image.width))
                far.append(f"{file.name} is {found}")
    if not far:
        return None
    return (
        f"note: {len(far)} of {len(files)} images are far from what the model was trained on "
        f"({_kind(grey, size)}): {far[0]}"
    )


def _kind(grey: bool, size: tuple[int, int]) -> str:
    return f"{'grey' if grey else 'in colour'}, {size[0]}x{size[1]} pixels"


def _is_grey(image) -> bool:
    small = np.asarray(image.convert("RGB").resize((32, 32)), int)
    return bool(np.ptp(small, axis=-1).max() <= _NOISE)
