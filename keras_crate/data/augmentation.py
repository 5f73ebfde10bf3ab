"""Settings of the random changes of training images."""

import dataclasses

from keras_crate.checks import is_number, is_positive_integer, names_arguments
from keras_crate.data.rand_augment import HIGHEST, OPERATIONS
from keras_crate.data.resizing import check_interpolation

SMALLEST_AREA = 1e-4  # five pixels of 224 x 224: a crop of none cannot be resized
MOST_STRETCHED = 100  # width by height of a crop: a longer one does not fit into an image
LEAST_MIXED = 1e-3  # parameter of a beta distribution; the backends cannot draw by a smaller one
MOST_SHIFTED = 256  # pixels: images are padded by as many on each side, also in memory


@names_arguments
@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Random changes of training images, in the order of their application.

    Attributes:
        crop_area: Lowest and highest share in [0.0001, 1] of an image's area that a
            random crop has, before it is resized to the model's size. None
            resizes the whole image.
        crop_ratio: Lowest and highest aspect ratio (width / height) of the crop, in
            [1/100, 100].
        interpolation: `"bilinear"`, `"bicubic"` or `"area"`, with antialiasing.
        shift: Largest number of pixels up to 256, at the model's size, by which an image is
            moved at random, in each direction. The gap is filled with zeros.
        flip: Whether an image is flipped left to right with probability 1/2.
        rand_augment: Number of operations in [1, 14] and magnitude in [0, 30] of
            `keras_crate.data.rand_augment`, or None.
        random_erasing: Probability in [0, 1] that a part of an image is
            replaced by noise (`keras.layers.RandomErasing`).
        mixup: Parameter in [0.001, 1] of MixUp's beta distribution; 0 for no MixUp.
        cutmix: Parameter in [0.001, 1] of CutMix's beta distribution; 0 for no
            CutMix. With both, each batch gets one of them, with probability
            1/2 each.

    Raises:
        ValueError: If a value is out of range.

    Example:

    ```python
    keras_crate.data.Augmentation(rand_augment=(2, 14), mixup=0.2)
    ```

    Reference:
        Szegedy et al., arXiv:1409.4842 (crops); Cubuk et al., arXiv:1909.13719
        (RandAugment); Zhong et al., arXiv:1708.04896 (erasing); Zhang et al.,
        arXiv:1710.09412 (MixUp); Yun et al., arXiv:1905.04899 (CutMix).
    """

    crop_area: tuple[float, float] | None = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    shift: int = 0
    flip: bool = True
    rand_augment: tuple[int, float] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self):
        for name in ("crop_area", "crop_ratio", "rand_augment"):
            value = getattr(self, name)
            if isinstance(value, list):  # JSON has no tuples
                object.__setattr__(self, name, tuple(value))
        check_interpolation(self.interpolation)
        if self.crop_area is not None:
            shares = f"None, or a pair (lowest, highest) in [{SMALLEST_AREA}, 1]"
            self._check("crop_area", _is_range(self.crop_area, SMALLEST_AREA, 1), shares)
        ratios = f"a pair (lowest, highest) in [1/{MOST_STRETCHED}, {MOST_STRETCHED}]"
        in_range = _is_range(self.crop_ratio, 1 / MOST_STRETCHED, MOST_STRETCHED)
        self._check("crop_ratio", in_range, ratios)
        shifts = is_positive_integer(self.shift) or (self.shift == 0 and self.shift is not False)
        in_range = shifts and self.shift <= MOST_SHIFTED
        self._check("shift", in_range, f"an integer in [0, {MOST_SHIFTED}]")
        self._check("flip", isinstance(self.flip, bool), "True or False")
        if self.rand_augment is not None:
            valid = _is_pair(self.rand_augment) and is_positive_integer(self.rand_augment[0])
            valid = valid and self.rand_augment[0] <= OPERATIONS
            valid = valid and 0 <= self.rand_augment[1] <= HIGHEST
            accepted = (
                f"None, or a pair (operations in [1, {OPERATIONS}], magnitude in [0, {HIGHEST}])"
            )
            self._check("rand_augment", valid, accepted)
        for name in ("random_erasing", "mixup", "cutmix"):
            value = getattr(self, name)
            least = 0 if name == "random_erasing" else LEAST_MIXED
            in_range = is_number(value) and (value == 0 or least <= value <= 1)
            self._check(name, in_range, f"0 or a number in [{least}, 1]")
            object.__setattr__(self, name, float(value))  # PyTorch draws by floats only

    def _check(self, name: str, valid: bool, accepted: str) -> None:
        if not valid:
            value = getattr(self, name)
            raise ValueError(f"`{name}` must be {accepted}. Received: {name}={value!r}")


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))


def _is_range(value, lowest: float, highest: float) -> bool:
    return _is_pair(value) and lowest <= value[0] <= value[1] <= highest
