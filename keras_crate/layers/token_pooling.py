"""TokenPooling: turns tokens into one feature vector per image."""

import keras
from keras import ops

from keras_crate.checks import check_choice, check_count, names_arguments

POOLINGS = ("token", "avg", "max")


@keras.saving.register_keras_serializable(package="keras_crate")
class TokenPooling(keras.layers.Layer):
    """Returns the class token, or the mean or the maximum of all tokens.

    Args:
        mode: `"token"` for the class token, which is the first, `"avg"` for
            the mean of all tokens, with the class token, or `"max"` for their
            maximum.
        registers: Number of register tokens after the class token. They are left
            out.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, 1 + registers + n, d)`.

    Returns:
        Features of shape `(batch, d)`.

    Raises:
        ValueError: If `mode` is not one of these.

    Example:

    ```python
    tokens = keras.random.normal((2, 197, 384))
    features = keras_crate.layers.TokenPooling("avg")(tokens)  # (2, 384)
    ```
    """

    @names_arguments
    def __init__(self, mode: str = "token", registers: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.registers = check_count("registers", registers)
        self.mode = check_choice("mode", mode, POOLINGS)

    def call(self, inputs):
        if self.mode == "token":
            return inputs[:, 0]
        if self.registers:
            parts = [inputs[:, :1], inputs[:, 1 + self.registers :]]
            inputs = ops.concatenate(parts, axis=1)
        return (ops.mean if self.mode == "avg" else ops.max)(inputs, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "mode": self.mode, "registers": self.registers}
