"""Resizing and cropping with the same pixels as in the measurements of published accuracies."""

import math
from collections.abc import Sequence

import numpy as np

from keras_crate.checks import MOST_PIXELS, check_choice, is_image_size

INTERPOLATIONS = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "area": "BOX"}  # Pillow's names


def fit_image(image, size: Sequence[int], resize, interpolation: str) -> np.ndarray:
    """Resizes and crops a Pillow image to a height and width, as `ImageFiles` documents."""
    from PIL import ImageOps

    method = resampling(interpolation)
    height, width = size
    if resize is None:
        image = ImageOps.fit(image, (width, height), method=method)
    elif isinstance(resize, tuple):
        image = image.resize((width, height), method)
    else:
        shorter = min(image.size)
        scaled = tuple(int(resize * side / shorter) for side in image.size)  # rounded down
        check_pixels(scaled, "resized, ")  # a narrow image becomes long
        image = _centre(image.resize(scaled, method), width, height)
    return np.asarray(image, "float32").reshape(height, width, -1)


def _centre(image, width: int, height: int):
    """Crops the centre. An image that is too small is padded with black."""
    # As torchvision: half a pixel is rounded to even when cropping, and an odd pixel of padding
    # goes to the right and to the bottom.
    left, top = (
        round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
        for side, wanted in zip(image.size, (width, height), strict=True)
    )
    return image.crop((left, top, left + width, top + height))


def resampling(interpolation: str):
    """Returns Pillow's resampling filter for one of `INTERPOLATIONS`."""
    from PIL import Image

    return Image.Resampling[INTERPOLATIONS[interpolation]]


def check_pixels(size: tuple[int, int], when: str = "") -> None:
    """Refuses a picture of more pixels than Pillow's limit, before they take memory.

    A PNG file of half a megabyte can declare 177 million pixels, which take 2 GB.
    """
    from PIL import Image

    width, height = size
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(
            f"{when}it has {width:,} x {height:,} pixels, and at most {most:,} are decoded "
            "(`PIL.Image.MAX_IMAGE_PIXELS`)"
        )


def check_resize(resize, size: Sequence[int]) -> int | tuple[int, int] | None:
    """Returns the `resize` argument of `ImageFiles`, or raises a ValueError."""
    if resize is None:
        return None
    if is_image_size(resize, resize):
        return int(resize)
    if isinstance(resize, (tuple, list)) and tuple(resize) == tuple(size):
        return int(resize[0]), int(resize[1])
    raise ValueError(
        f"`resize` must be None, a positive integer of at most {math.isqrt(MOST_PIXELS):,} (the "
        "shorter side before the centre is cropped), or the height and width of the resized "
        f"images, {tuple(size)}. Received: resize={resize!r}"
    )


def check_interpolation(interpolation) -> str:
    """Returns the `interpolation` argument of `ImageFiles`, or raises a ValueError."""
    return check_choice("interpolation", interpolation, INTERPOLATIONS)
