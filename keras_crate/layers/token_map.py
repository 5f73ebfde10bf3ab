"""TokenMap: arranges tokens as a map."""

import keras
from keras import ops

from keras_crate.checks import check_above_zero, check_count, names_arguments


@keras.saving.register_keras_serializable(package="keras_crate")
class TokenMap(keras.layers.Layer):
    """Arranges the tokens of the patches as a map of the image, and resizes the map.

    Args:
        grid: Rows and columns of patches.
        scale: Factor, > 0, by which the map's rows and columns are resized
            (bilinear; antialiased if it is below 1).
        prefix_tokens: Number of tokens before the patches: the class token and
            registers.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, prefix_tokens + rows * columns, d)`.

    Returns:
        Maps of shape `(batch, rows * scale, columns * scale, d)`.

    Raises:
        ValueError: If a scaled map would not have whole rows and columns.

    Example:

    ```python
    maps = keras_crate.layers.TokenMap((4, 4))(tokens)  # (2, 4, 4, 24)
    ```
    """

    @names_arguments
    def __init__(self, grid, scale: float = 1, prefix_tokens: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.prefix_tokens = check_count("prefix_tokens", prefix_tokens)
        self.grid = rows, columns = tuple(grid)
        self.scale = check_above_zero("scale", scale)
        if rows * scale % 1 or columns * scale % 1:
            raise ValueError(
                "`scale` must give whole rows and columns. Received: "
                f"scale={scale} for {rows} rows and {columns} columns of patches"
            )
        self.size = (round(rows * scale), round(columns * scale))
        # Antialiasing changes nothing in a larger map. XLA cannot compile TensorFlow's.
        self.antialias = scale < 1
        if self.antialias and keras.backend.backend() == "tensorflow":
            self.supports_jit = False

    def call(self, inputs):
        rows, columns = self.grid
        patches = inputs[:, self.prefix_tokens :]
        maps = ops.reshape(patches, (-1, rows, columns, inputs.shape[-1]))
        if self.scale == 1:
            return maps
        resized = ops.image.resize(
            maps, self.size, "bilinear", antialias=self.antialias, data_format="channels_last"
        )
        return ops.cast(resized, maps.dtype)  # TensorFlow resizes to float32

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict:
        own = {"grid": self.grid, "scale": self.scale, "prefix_tokens": self.prefix_tokens}
        return {**super().get_config(), **own}
