"""LayerScale: a learned factor per channel."""

import keras

from keras_crate.checks import names_arguments


@keras.saving.register_keras_serializable(package="keras_crate")
class LayerScale(keras.layers.Layer):
    """Multiplies every channel of the tokens by a learned factor.

    Args:
        initial_value: Initial value of all factors; small, such as 1e-5.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(..., d)`.

    Returns:
        Tokens of the same shape.

    Weights: `factors` of shape `(d,)`.

    Example:

    ```python
    scaled = keras_crate.layers.LayerScale(1e-5)(keras.random.normal((2, 197, 384)))
    ```

    Reference:
        Touvron et al., "Going deeper with Image Transformers",
        arXiv:2103.17239, section 2.
    """

    @names_arguments
    def __init__(self, initial_value: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = initial_value

    def build(self, input_shape):
        self.factors = self.add_weight(
            name="factors",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
        )
        self.built = True

    def call(self, inputs):
        return inputs * keras.ops.cast(self.factors, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "initial_value": self.initial_value}
