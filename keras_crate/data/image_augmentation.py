"""Random changes of images, with Pillow and NumPy. `tf_images.py` does them in TensorFlow."""

import math

import numpy as np

from keras_crate.data.augmentation import Augmentation
from keras_crate.data.rand_augment import rand_augment
from keras_crate.data.resizing import resampling


def augment_image(image, input_shape, augmentation: Augmentation, rng) -> np.ndarray:
    """Changes a Pillow image at random. Returns float32 pixels `input_shape`, in [0, 255]."""
    from PIL import ImageOps

    height, width, _ = input_shape
    box = None
    if augmentation.crop_area is not None:
        box = random_box(image.size, rng, augmentation.crop_area, augmentation.crop_ratio)
    image = image.resize((width, height), resampling(augmentation.interpolation), box=box)
    if shift := augmentation.shift:
        x, y = rng.integers(-shift, shift, size=2, endpoint=True)
        image = image.crop((x, y, x + width, y + height))  # outside of it are zeros
    if augmentation.flip and rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if augmentation.rand_augment is not None:
        image = rand_augment(image, rng, *augmentation.rand_augment)
    return np.asarray(image, "float32").reshape(input_shape)


def shift_and_flip(
    images: np.ndarray, augmentation: Augmentation, rng, batch_size: int, chosen: slice
) -> np.ndarray:
    """Moves and flips images of one array at random, each in its own way.

    This does in one step, without Pillow, what `augment_image` does if it neither
    crops nor changes pixels. The images are the `chosen` rows of a batch. Random numbers are
    drawn for the whole batch, so a row's change does not depend on which rows are chosen.
    """
    count, height, width, _ = images.shape
    if shift := augmentation.shift:
        images = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
        top, left = rng.integers(0, 2 * shift, size=(2, batch_size, 1, 1), endpoint=True)[:, chosen]
        rows, columns = top + np.arange(height)[:, None], left + np.arange(width)
        images = images[np.arange(count)[:, None, None], rows, columns]
    if augmentation.flip:
        mirrored = images[:, :, ::-1]
        images = np.where(rng.random((batch_size, 1, 1, 1))[chosen] < 0.5, mirrored, images)
    return images


def random_box(
    size: tuple[int, int], rng, area: tuple[float, float], ratio: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Draws a part of an image at random: its left, upper, right and lower edge in pixels.

    They are those of the whole image if none of ten draws fits in it.
    """
    width, height = size
    for _ in range(10):
        wanted = rng.uniform(*area) * width * height
        proportion = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = math.sqrt(wanted * proportion), math.sqrt(wanted / proportion)
        if w <= width and h <= height:
            left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, upper, left + w, upper + h
    return 0, 0, width, height
