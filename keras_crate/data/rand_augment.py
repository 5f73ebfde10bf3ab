"""RandAugment with torchvision's operations and magnitudes, by Pillow."""

import math

import numpy as np

from keras_crate.extras import needed

HIGHEST = 30  # of the magnitudes


def rand_augment(image, rng: np.random.Generator, operations: int = 2, magnitude: float = 14):
    """Applies a few operations, drawn anew for the image, all of one magnitude.

    The 14 operations and their strengths are those of torchvision's
    `RandAugment`, by which CRATE was fine-tuned: shears of up to 0.3,
    translations of up to 150/331 of a side, turns of up to 30 degrees; colour,
    contrast, brightness and sharpness changed by up to 0.9; posterisation to 4
    bits; solarisation; automatic contrast; equalisation; and none. What has a
    direction takes either. `keras.layers.RandAugment` draws one choice for a
    whole batch and turns images by up to half a circle.

    Args:
        image: A Pillow image, grey or RGB.
        rng: Where chance comes from.
        operations: How many are applied, one after the other.
        magnitude: Strength, in [0, 30].

    Returns:
        A Pillow image of the same size and mode; black where nothing was.

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
        name = _NAMES[rng.integers(len(_NAMES))]
        sign = rng.choice((-1, 1))
        image = _OPERATIONS[name](image, magnitude / HIGHEST, sign)
    return image


def _affine(image, matrix):
    with needed("pillow", "Image files need"):
        from PIL import Image

    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def _shear_x(image, share, sign):
    return _affine(image, (1, -sign * 0.3 * share, 0, 0, 1, 0))


def _shear_y(image, share, sign):
    return _affine(image, (1, 0, 0, -sign * 0.3 * share, 1, 0))


def _translate_x(image, share, sign):
    return _affine(image, (1, 0, -sign * int(150 / 331 * image.width * share), 0, 1, 0))


def _translate_y(image, share, sign):
    return _affine(image, (1, 0, 0, 0, 1, -sign * int(150 / 331 * image.height * share)))


def _rotate(image, share, sign):
    return image.rotate(sign * 30 * share)


def _enhance(kind: str):
    def change(image, share, sign):
        from PIL import ImageEnhance

        return getattr(ImageEnhance, kind)(image).enhance(1 + sign * 0.9 * share)

    return change


def _posterize(image, share, sign):
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(4 * share))


def _solarize(image, share, sign):
    from PIL import ImageOps

    return ImageOps.solarize(image, math.ceil(round(255 * (1 - share), 6)))


def _auto_contrast(image, share, sign):
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def _equalize(image, share, sign):
    from PIL import ImageOps

    return ImageOps.equalize(image)


_OPERATIONS = {
    "identity": lambda image, share, sign: image,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _enhance("Brightness"),
    "color": _enhance("Color"),
    "contrast": _enhance("Contrast"),
    "sharpness": _enhance("Sharpness"),
    "posterize": _posterize,
    "solarize": _solarize,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
}
_NAMES = tuple(_OPERATIONS)
