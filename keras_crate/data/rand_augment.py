"""RandAugment with torchvision's operations and strengths, in Pillow."""

import math
from collections.abc import Callable

import numpy as np

from keras_crate.checks import names_arguments

HIGHEST = 30  # magnitude
OPERATIONS = 14


@names_arguments
def rand_augment(image, rng: np.random.Generator, operations: int = 2, magnitude: float = 14):
    """Applies random operations of a given strength to an image.

    The 14 operations and their strengths are those of torchvision's
    `RandAugment`, with which CRATE was fine-tuned. At the highest magnitude
    these are: shear by 0.3; translation by 150/331 of a side; rotation by 30
    degrees; colour, contrast, brightness and sharpness changed by 0.9;
    posterisation to 4 bits; solarisation; automatic contrast; equalisation; and
    no change. Operations with a direction take either direction with equal
    probability.
    `keras.layers.RandAugment` instead draws the same operations for a whole
    batch, and rotates images by up to 180 degrees.

    Args:
        image: A Pillow image, grey or RGB.
        rng: NumPy's generator of random numbers.
        operations: Number of operations, applied one after the other.
        magnitude: Strength, in [0, 30].

    Returns:
        A Pillow image of the same size and mode. Uncovered pixels are black.

    Raises:
        ValueError: If the image is neither grey nor RGB.

    Example:

    ```python
    import numpy as np
    from PIL import Image

    image = Image.open("photographs/0.png")
    image = keras_crate.data.rand_augment(image, np.random.default_rng(0))
    ```

    Reference:
        Cubuk et al., "RandAugment: Practical automated data augmentation with
        a reduced search space", arXiv:1909.13719, section 3.
    """
    if image.mode not in ("L", "RGB"):
        raise ValueError(
            f"RandAugment takes grey or RGB images. Received: an image of mode {image.mode}"
        )
    for _ in range(operations):
        drawn, sign = rng.integers(OPERATIONS), rng.choice((-1, 1))
        changes = operations_on(image, magnitude / HIGHEST, sign)
        image = list(changes.values())[drawn]()
    return image


def operations_on(image, share: float, sign: int) -> dict[str, Callable]:
    """Returns the operations on an image by name, as functions without arguments.

    The strength is a share in [0, 1] of the highest, the sign 1 or -1.
    """
    from PIL import Image, ImageEnhance, ImageOps

    def affine(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)

    def enhance(kind):
        return kind(image).enhance(1 + sign * 0.9 * share)

    shear = -sign * 0.3 * share
    shift_x, shift_y = (-sign * int(150 / 331 * side * share) for side in image.size)
    return {
        "identity": lambda: image,
        "shear_x": lambda: affine(1, shear, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, shear, 1, 0),
        "translate_x": lambda: affine(1, 0, shift_x, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, shift_y),
        "rotate": lambda: image.rotate(sign * 30 * share),
        "brightness": lambda: enhance(ImageEnhance.Brightness),
        "color": lambda: enhance(ImageEnhance.Color),
        "contrast": lambda: enhance(ImageEnhance.Contrast),
        "sharpness": lambda: enhance(ImageEnhance.Sharpness),
        "posterize": lambda: ImageOps.posterize(image, 8 - round(4 * share)),
        "solarize": lambda: ImageOps.solarize(image, math.ceil(round(255 * (1 - share), 6))),
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
    }
