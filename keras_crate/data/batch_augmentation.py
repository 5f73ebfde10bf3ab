"""Random changes of a batch with Keras' layers: erasing, MixUp and CutMix."""

from collections.abc import Callable

import keras
import numpy as np

from keras_crate.data.augmentation import Augmentation
from keras_crate.keras_internals import random_seed_dtype


class KeyedSeed(keras.random.SeedGenerator):
    """Seeds that depend on a key alone, for the `seed` of Keras' augmentation layers.

    Keras' own generator has a state, so its numbers depend on earlier draws.
    With a key, a resumed training draws the same numbers as an uninterrupted
    one, and batches can be made in parallel.
    """

    def __init__(self, key, stack: Callable):
        self.key, self.stack, self.drawn = key, stack, 0

    def next(self, ordered: bool = True):
        self.drawn += 1
        return self.stack([self.key[0], self.key[1] + 7919 * self.drawn])


class BatchAugmentation:
    """Erases parts of images and mixes images, by the settings of an `Augmentation`.

    Call it with images, one-hot labels and a key, which is two integers below
    2^31. All random numbers follow from the key. It returns images and labels.
    """

    def __init__(self, augmentation: Augmentation, in_tf_data: bool):
        self.in_tf_data = in_tf_data
        self.erasing, self.mixing = [], []
        if probability := augmentation.random_erasing:
            factor = (probability, probability)
            self.erasing = [self._layer("RandomErasing", factor=factor, scale=(0.02, 0.33))]
        if alpha := augmentation.mixup:
            self.mixing += [self._layer("MixUp", alpha=alpha)]
        if alpha := augmentation.cutmix:
            self.mixing += [self._layer("CutMix", factor=(alpha, alpha))]  # Keras takes a range

    def _layer(self, name: str, **arguments) -> keras.layers.Layer:
        layer = getattr(keras.layers, name)(
            data_format="channels_last", dtype="float32", **arguments
        )
        if self.in_tf_data:
            layer.backend.set_backend("tensorflow")
        return layer

    def __bool__(self) -> bool:
        """Whether it does anything."""
        return bool(self.erasing or self.mixing)

    def __call__(self, images, labels, key):
        for layer in self.erasing:
            images, labels = self._apply(layer, images, labels, key)
        if len(self.mixing) == 2:
            return self._apply_either(images, labels, key)
        for layer in self.mixing:
            images, labels = self._apply(layer, images, labels, key)
        return images, labels

    def _apply_either(self, images, labels, key):
        mixup, cutmix = (
            lambda layer=layer: self._apply(layer, images, labels, key) for layer in self.mixing
        )
        if not self.in_tf_data:
            return mixup() if np.random.default_rng(key).random() < 0.5 else cutmix()
        import tensorflow as tf

        return tf.cond(tf.random.stateless_uniform((), key) < 0.5, mixup, cutmix)

    def _apply(self, layer, images, labels, key):
        if self.in_tf_data:
            import tensorflow as tf

            seed = KeyedSeed(tf.cast(key, "int32"), tf.stack)
        else:
            key = keras.ops.convert_to_tensor(key, random_seed_dtype())
            seed = KeyedSeed(key, keras.ops.stack)
        data = {"images": images, "labels": labels}
        change = layer.get_random_transformation(data, training=True, seed=seed)
        images = layer.transform_images(images, change, training=True)
        return images, layer.transform_labels(labels, change, training=True)


def call_augment(augment: Callable, images):
    """Applies a user's layer, in training mode, or function to a batch of images."""
    if isinstance(augment, keras.layers.Layer):
        return augment(images, training=True)
    return augment(images)
