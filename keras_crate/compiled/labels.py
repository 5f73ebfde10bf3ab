"""Losses and metrics of classes, whose labels are integers or one-hot vectors."""

import keras


def as_one_hot(labels, outputs):
    """Returns labels in the outputs' shape and dtype: integers become one-hot vectors."""
    outputs = keras.ops.convert_to_tensor(outputs)
    classes, dtype = outputs.shape[-1], outputs.dtype
    # Not by the rank: TensorFlow does not know it after labels of several ranks.
    labels = keras.ops.reshape(labels, (keras.ops.shape(outputs)[0], -1))
    numbers = keras.ops.cast(labels[:, :1], "int32")
    one_hot = keras.ops.cast(keras.ops.equal(numbers, keras.ops.arange(classes)), dtype)
    labels, width = keras.ops.cast(labels, dtype), keras.ops.shape(labels)[1]
    if isinstance(width, int):
        return one_hot if width == 1 < classes else labels
    labels = keras.ops.where(keras.ops.equal(width, 1), one_hot, labels)
    return keras.ops.reshape(labels, (-1, classes))


@keras.saving.register_keras_serializable(package="keras_crate")
class Crossentropy(keras.losses.CategoricalCrossentropy):
    """Cross-entropy of one class, with smoothed labels, integers or one-hot."""

    def call(self, y_true, y_pred):
        return super().call(as_one_hot(y_true, y_pred), y_pred)


@keras.saving.register_keras_serializable(package="keras_crate")
class SmoothedBinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Binary cross-entropy of each class, with labels `y (1 - s) + s / classes`.

    These are the smoothed labels of a softmax. Keras' own smoothing moves the
    labels of all classes towards 0.5. Labels are integers or one-hot; s is `smoothing`.
    """

    def __init__(self, smoothing: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        y_true = as_one_hot(y_true, y_pred)
        classes = y_pred.shape[-1]
        return super().call(y_true * (1 - self.smoothing) + self.smoothing / classes, y_pred)

    def get_config(self) -> dict:
        return {**super().get_config(), "smoothing": self.smoothing}


class _OfAnyLabels:
    """Mixin for a Keras metric of one-hot labels, which then takes integers too."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(as_one_hot(y_true, y_pred), y_pred, sample_weight)


@keras.saving.register_keras_serializable(package="keras_crate")
class Accuracy(_OfAnyLabels, keras.metrics.CategoricalAccuracy):
    """Share of images whose likeliest class is the label's."""


@keras.saving.register_keras_serializable(package="keras_crate")
class TopAccuracy(_OfAnyLabels, keras.metrics.TopKCategoricalAccuracy):
    """Share of images whose label is among the k likeliest classes."""
