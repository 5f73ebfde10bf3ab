"""Tokens laid out as a map."""

import keras
from keras import ops

from keras_crate.checks import is_number, is_positive_integer


@keras.saving.register_keras_serializable(package="keras_crate")
class TokenMap(keras.layers.Layer):
    """Lays out the patches' tokens as the patches are in the image, and rescales the map.

    Args:
        grid: Rows and columns of patches.
        scale: What rows and columns are multiplied by, > 0: the map is resized
            (bilinear, antialiased).
        **kwargs: As in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, 1 + rows * columns, d)`, class token
            first.

    Returns:
        Maps of shape `(batch, rows * scale, columns * scale, d)`.

    Raises:
        ValueError: If the grid is no pair of positive integers, or a scaled map
            would have a row or column that is not whole.

    Example:

    ```python
    maps = keras_crate.layers.TokenMap((4, 4))(tokens)  # (2, 4, 4, 24)
    ```
    """

    def __init__(self, grid, scale: float = 1, **kwargs):
        super().__init__(**kwargs)
        self.grid = tuple(grid) if isinstance(grid, (tuple, list)) else ()
        self.scale = scale
        if len(self.grid) != 2 or not all(map(is_positive_integer, self.grid)):
            raise ValueError(
                f"`grid` must be rows and columns, two positive integers. Received: grid={grid!r}"
            )
        sizes = [size * scale for size in self.grid] if is_number(scale) else []
        if not sizes or any(size != round(size) or size < 1 for size in sizes):
            raise ValueError(
                "A scale must give whole rows and columns. Received: "
                f"scale={scale!r} for {self.grid[0]} rows and {self.grid[1]} columns of patches"
            )
        self.size = tuple(map(round, sizes))

    def call(self, inputs):
        rows, columns = self.grid
        maps = ops.reshape(inputs[:, 1:], (-1, rows, columns, inputs.shape[-1]))
        if self.scale == 1:
            return maps
        resized = ops.image.resize(
            maps, self.size, "bilinear", antialias=True, data_format="channels_last"
        )
        return ops.cast(resized, maps.dtype)  # TensorFlow resizes to float32

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def get_config(self) -> dict:
        return {**super().get_config(), "grid": self.grid, "scale": self.scale}
