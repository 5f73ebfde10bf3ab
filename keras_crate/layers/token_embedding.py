"""TokenEmbedding: the class token and the positions."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.position_resize import resize_in_graph, resize_positions
from keras_crate.layers.sincos_positions import sincos_positions


@keras.saving.register_keras_serializable(package="keras_crate")
class TokenEmbedding(keras.layers.Layer):
    """Puts a class token before the patches and adds positions to all tokens.

    Saved positions for another grid of patches are resized on loading, with a
    warning. If the patches come as a map, positions are resized to it at each
    call (bicubic, as in `resize_positions`).

    Args:
        grid: Rows and columns of patches in the table of positions. By default,
            a square.
        class_token_initializer: Initialiser of the class token. By default
            N(0, 1).
        position_initializer: Initialiser of the positions. By default N(0, 1).
            `"sincos2d"` starts with `sincos_positions` and needs a grid.
        train_positions: Whether positions are trained.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`, or a map of them of any size,
            `(batch, rows, columns, d)`.

    Returns:
        Tokens of shape `(batch, n + 1, d)`, class token first.

    Weights: `class_token` of shape `(1, 1, d)`, `positions` of shape
    `(1, n + 1, d)`.

    Raises:
        ValueError: If the grid does not have `n` patches, or `"sincos2d"` has
            no grid.

    Example:

    ```python
    patches = keras.random.normal((2, 196, 384))
    tokens = keras_crate.layers.TokenEmbedding()(patches)  # (2, 197, 384)
    ```
    """

    @names_arguments
    def __init__(
        self,
        grid: tuple[int, int] | None = None,
        class_token_initializer=None,
        position_initializer=None,
        train_positions: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.grid = tuple(grid) if grid is not None else None
        self.class_token_initializer = _initializer(class_token_initializer)
        if position_initializer == "sincos2d" and grid is None:
            raise ValueError('`position_initializer="sincos2d"` needs the `grid`. Received: None')
        self.position_initializer = _initializer(position_initializer)
        self.train_positions = train_positions

    def build(self, input_shape):
        *_, patches, dim = input_shape
        if len(input_shape) == 4:  # a map of any size
            if self.grid is None:
                raise ValueError("A map of patches needs the `grid` of the table. Received: None")
            patches = math.prod(self.grid)
        if self.grid is not None and math.prod(self.grid) != patches:
            raise ValueError(
                f"`grid` must have as many patches as the input. Received: grid={self.grid} "
                f"and {patches} patches"
            )
        self.class_token = self.add_weight(
            name="class_token", shape=(1, 1, dim), initializer=self.class_token_initializer
        )
        initializer = self.position_initializer
        if initializer == "sincos2d":
            table = sincos_positions(self.grid, dim)

            def initializer(shape, dtype=None):
                return ops.convert_to_tensor(table, dtype=dtype)

        self.positions = self.add_weight(
            name="positions",
            shape=(1, patches + 1, dim),
            initializer=initializer,
            trainable=self.train_positions,
        )
        self.built = True

    def call(self, inputs):
        positions = self.positions[:, 1:]
        if len(inputs.shape) == 4:
            _, rows, columns, dim = ops.shape(inputs)
            inputs = ops.reshape(inputs, (-1, rows * columns, dim))
            positions = resize_in_graph(positions, self.grid, (rows, columns))
        return self.embed(inputs, positions)

    def embed(self, inputs, positions):
        """Puts the class token before the patches, and adds the positions of all tokens."""
        # Adding the class token to the table of positions needs no batch size.
        class_row = self.class_token + self.positions[:, :1]
        table = ops.concatenate([class_row, positions], axis=1)
        return ops.pad(inputs, ((0, 0), (1, 0), (0, 0))) + table

    def compute_output_shape(self, input_shape):
        batch, *places, dim = input_shape
        tokens = None if None in places else math.prod(places) + 1
        return (batch, tokens, dim)

    def assign(self, class_token, positions, grid: tuple[int, int] | None = None):
        """Sets both weights, with the positions resized to this layer's grid.

        Args:
            class_token: Array of shape `(1, 1, d)`.
            positions: Array of shape `(1, n + 1, d)` for any grid.
            grid: Rows and columns of `positions`. By default this layer's own
                if the sizes agree, otherwise a square.

        Returns:
            The old and the new grid if it resized, otherwise None.
        """
        # Copies: under JAX, training deletes a tensor that two variables share.
        class_token, positions = map(ops.convert_to_numpy, (class_token, positions))
        own = self.grid or _square(self.positions.shape[1] - 1)
        if grid is None and positions.shape == self.positions.shape:
            grid = own
        grid = tuple(grid) if grid is not None else _square(positions.shape[1] - 1)
        if grid != own:
            if None in (grid, own):
                raise ValueError(
                    "Positions can be resized only between known grids. Received: positions of "
                    f"shape {positions.shape} for a table of shape {tuple(self.positions.shape)}, "
                    "not both square. Pass `grid`."
                )
            positions = resize_positions(positions, grid, own)
        self.class_token.assign(class_token)
        self.positions.assign(positions)
        return (grid, own) if grid != own else None

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.grid is not None:
            store["grid"] = np.array(self.grid, "int32")

    def load_own_variables(self, store):
        keys = store.keys()  # a store of Keras 3.8 has no `in`
        grid = tuple(int(n) for n in store["grid"]) if "grid" in keys else None
        positions = np.asarray(store["1"])
        if positions.shape[-1] != self.positions.shape[-1]:
            raise ValueError(
                f"{self.path} has tokens of width {self.positions.shape[-1]}, but those of the "
                f"saved weights have width {positions.shape[-1]}."
            )
        resized = self.assign(np.asarray(store["0"]), positions, grid)
        if resized:
            old, new = resized
            warnings.warn(
                f"The saved positions are for a grid of {old} patches. They were resized to {new}.",
                stacklevel=2,
            )

    def get_config(self) -> dict:
        positions = self.position_initializer
        if positions != "sincos2d":
            positions = keras.initializers.serialize(positions)
        return {
            **super().get_config(),
            "grid": self.grid,
            "class_token_initializer": keras.initializers.serialize(self.class_token_initializer),
            "position_initializer": positions,
            "train_positions": self.train_positions,
        }


def _initializer(initializer):
    if initializer is None:
        return keras.initializers.RandomNormal(stddev=1.0)
    return initializer if initializer == "sincos2d" else keras.initializers.get(initializer)


def _square(patches: int) -> tuple[int, int] | None:
    side = math.isqrt(patches)
    return (side, side) if side * side == patches else None
