"""The loss of a sigmoid a class, with labels smoothed as those of a softmax are."""

import keras


@keras.saving.register_keras_serializable(package="keras_crate")
class SmoothedBinaryCrossentropy(keras.losses.BinaryCrossentropy):
    """Binary cross-entropy of each class, of labels `y (1 - s) + s / classes`.

    Keras' own smoothing brings the labels of all classes towards a half.

    Args:
        smoothing: s, in [0, 1).
        **kwargs: As in `keras.losses.BinaryCrossentropy`.
    """

    def __init__(self, smoothing: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        y_true = keras.ops.cast(y_true, keras.ops.convert_to_tensor(y_pred).dtype)
        classes = y_pred.shape[-1]
        return super().call(y_true * (1 - self.smoothing) + self.smoothing / classes, y_pred)

    def get_config(self) -> dict:
        return {**super().get_config(), "smoothing": self.smoothing}
