"""What chance does to training images: the settings, and where chance comes from."""

import dataclasses

import keras
import numpy as np

from keras_crate.data.image_files import check_interpolation
from keras_crate.keras_internals import random_seed_dtype


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is done to the images of a training batch, in this order.

    Attributes:
        crop_area: Least and greatest share in (0, 1] of an image's area that is
            cut out and resized to the model's size, or None to resize the whole.
        crop_ratio: Least and greatest proportion, width to height, of that part.
        interpolation: `"bilinear"`, `"bicubic"` or `"area"`; antialiased.
        flip: Whether half of the images are turned left to right.
        rand_augment: Pair (operations an image, magnitude in [0, 30]) of
            `keras_crate.data.rand_augment`, or None.
        random_erasing: Probability in [0, 1] that a part of an image is
            replaced by noise (`keras.layers.RandomErasing`).
        mixup: The parameter of MixUp's beta distribution, in [0, 1]; 0 for none.
        cutmix: The same of CutMix. With both, each batch is given one of them,
            half the time either.

    Raises:
        ValueError: If one is out of range.

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
    flip: bool = True
    rand_augment: tuple[int, float] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self):
        for name in ("crop_area", "crop_ratio", "rand_augment"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        check_interpolation(self.interpolation)
        share = "a pair (least, greatest) of shares in (0, 1], or None"
        for name, valid, accepted in (
            ("crop_area", self.crop_area is None or _is_range(self.crop_area, 1), share),
            ("crop_ratio", _is_range(self.crop_ratio, np.inf), "a pair (least, greatest) above 0"),
            ("flip", isinstance(self.flip, bool), "True or False"),
            ("rand_augment", _is_rand_augment(self.rand_augment),
             "a pair (operations >= 1, magnitude in [0, 30]), or None"),
            ("random_erasing", _is_share(self.random_erasing), "in [0, 1]"),
            ("mixup", _is_share(self.mixup), "in [0, 1]"),
            ("cutmix", _is_share(self.cutmix), "in [0, 1]"),
        ):  # fmt: skip
            if not valid:
                raise ValueError(
                    f"`{name}` must be {accepted}. Received: {name}={getattr(self, name)!r}"
                )


def _is_number(value) -> bool:
    is_bool = isinstance(value, bool)
    return not is_bool and isinstance(value, (int, float)) and bool(np.isfinite(value))


def _is_share(value) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_range(value, highest: float) -> bool:
    return _is_pair(value) and 0 < value[0] <= value[1] <= highest


def _is_rand_augment(value) -> bool:
    if value is None:
        return True
    return _is_pair(value) and isinstance(value[0], int) and value[0] >= 1 and 0 <= value[1] <= 30


class KeyedSeed(keras.random.SeedGenerator):
    """A source of seeds without a state: the key decides them.

    Keras' augmentation layers take it as `seed`. What they do then depends on
    the key alone, not on what they did before, so that a training that is
    resumed draws what it would have drawn, and batches may be made in parallel.

    Args:
        key: A tensor of two integers, of the backend that the layers compute by.
        stack: That backend's function that stacks tensors.
    """

    def __init__(self, key, stack):
        self.key, self.stack, self.drawn = key, stack, 0

    def next(self, ordered: bool = True):
        self.drawn += 1
        return self.stack([self.key[0], self.key[1] + 7919 * self.drawn])


class BatchAugmentation:
    """Erases and mixes a batch by Keras' layers, as an `Augmentation` says.

    Args:
        augmentation: The settings.
        in_tf_data: Whether it is called while a `tf.data` pipeline is traced;
            otherwise the layers compute by Keras' backend.

    Call arguments:
        images: Tensor or array `(n, height, width, channels)`, in [0, 255].
        labels: One-hot, `(n, classes)`.
        key: Two integers below 2^31 that decide what chance does.

    Returns:
        Images and labels of the same shapes.

    Raises:
        ImportError: If Keras is too old to have the layers.
    """

    def __init__(self, augmentation: Augmentation, in_tf_data: bool):
        self.in_tf_data = in_tf_data
        self.erasing = self.mixing = ()
        if augmentation.random_erasing:
            probability = (augmentation.random_erasing,) * 2
            self.erasing = (_layer("RandomErasing", factor=probability, scale=(0.02, 0.33)),)
        # Keras draws CutMix' parameter from a range; of width 0 it is what was asked for.
        self.mixing = tuple(
            _layer(name, **arguments)
            for name, value, arguments in (
                ("MixUp", augmentation.mixup, {"alpha": augmentation.mixup}),
                ("CutMix", augmentation.cutmix, {"factor": (augmentation.cutmix,) * 2}),
            )
            if value
        )
        if in_tf_data:
            for layer in (*self.erasing, *self.mixing):
                layer.backend.set_backend("tensorflow")

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return bool(self.erasing or self.mixing)

    def __call__(self, images, labels, key):
        for layer in self.erasing:
            images, labels = self._apply(layer, images, labels, key)
        if len(self.mixing) == 1:
            return self._apply(self.mixing[0], images, labels, key)
        if len(self.mixing) == 2:
            return self._either(images, labels, key)
        return images, labels

    def _either(self, images, labels, key):
        mixup, cutmix = (
            lambda layer=layer: self._apply(layer, images, labels, key) for layer in self.mixing
        )
        if not self.in_tf_data:
            return mixup() if np.random.default_rng(key).random() < 0.5 else cutmix()
        import tensorflow as tf

        chosen = tf.random.stateless_uniform((), key)
        return tf.cond(chosen < 0.5, mixup, cutmix)

    def _apply(self, layer, images, labels, key):
        if self.in_tf_data:
            import tensorflow as tf

            seed = KeyedSeed(tf.cast(key, "int32"), tf.stack)
        else:
            dtype = random_seed_dtype()
            seed = KeyedSeed(keras.ops.convert_to_tensor(key, dtype), keras.ops.stack)
        data = {"images": images, "labels": labels}
        change = layer.get_random_transformation(data, training=True, seed=seed)
        images = layer.transform_images(images, change, training=True)
        return images, layer.transform_labels(labels, change, training=True)


def _layer(name: str, **arguments):
    if not hasattr(keras.layers, name):
        raise ImportError(
            f"`keras.layers.{name}` needs a newer Keras. Installed: Keras {keras.__version__}. "
            "Upgrade Keras, or leave the augmentation out."
        )
    return getattr(keras.layers, name)(data_format="channels_last", dtype="float32", **arguments)
