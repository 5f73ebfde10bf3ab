"""TokenEmbedding: the class token and the positions."""

import math
import warnings

import keras
import numpy as np
from keras import ops

from keras_crate.checks import check_count, names_arguments
from keras_crate.layers.position_resize import resize_in_graph, resize_positions
from keras_crate.layers.sincos_positions import sincos_positions


@keras.saving.register_keras_serializable(package="keras_crate")
class TokenEmbedding(keras.layers.Layer):
    """Puts a class token before the patches and adds positions to both.

    Register tokens are optional. They come between the class token and the
    patches, have no positions, and can store what belongs to no patch.

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
        registers: Number of register tokens, r. They use the initialiser of the class
            token.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`, or a map of them of any size,
            `(batch, rows, columns, d)`.

    Returns:
        Tokens of shape `(batch, 1 + r + n, d)`: the class token, the registers,
        and the patches. `prefix_tokens` is 1 + r.

    Weights: `class_token` of shape `(1, 1, d)`, `positions` of shape
    `(1, n + 1, d)`, and with registers `register_tokens` of shape `(1, r, d)`.

    Raises:
        ValueError: If the grid does not have `n` patches, or `"sincos2d"` has
            no grid.

    Example:

    ```python
    patches = keras.random.normal((2, 196, 384))
    tokens = keras_crate.layers.TokenEmbedding()(patches)  # (2, 197, 384)
    ```

    Reference:
        Darcet et al., "Vision Transformers Need Registers", arXiv:2309.16588.
    """

    @names_arguments
    def __init__(
        self,
        grid: tuple[int, int] | None = None,
        class_token_initializer=None,
        position_initializer=None,
        train_positions: bool = True,
        registers: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.grid = tuple(grid) if grid is not None else None
        self.class_token_initializer = _initializer(class_token_initializer)
        if position_initializer == "sincos2d" and grid is None:
            raise ValueError('`position_initializer="sincos2d"` needs the `grid`. Received: None')
        self.position_initializer = _initializer(position_initializer)
        self.train_positions = train_positions
        self.registers = check_count("registers", registers)

    @property
    def prefix_tokens(self) -> int:
        """Number of tokens before the patches: the class token and the registers."""
        return 1 + self.registers

    def build(self, input_shape):
        *_, patches, dim = input_shape
        self._of_any_size = len(input_shape) == 4
        if self._of_any_size:
            if self.grid is None:
                raise ValueError("`grid` is needed for a map of patches. Received: grid=None")
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
        self.register_tokens = None
        if self.registers:
            # A copy, since a Keras initialiser draws the same values at every call.
            config = keras.initializers.serialize(self.class_token_initializer)
            self.register_tokens = self.add_weight(
                name="register_tokens",
                shape=(1, self.registers, dim),
                initializer=keras.initializers.deserialize(config),
            )
        self.built = True

    @property
    def stored_weights(self) -> list:
        """The weights in their order in files."""
        registers = [] if self.register_tokens is None else [self.register_tokens]
        return [self.class_token, self.positions, *registers]

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
        rows = [self.class_token + self.positions[:, :1], positions]
        if self.register_tokens is not None:
            rows.insert(1, ops.cast(self.register_tokens, positions.dtype))
        table = ops.concatenate(rows, axis=1)
        return ops.pad(inputs, ((0, 0), (self.prefix_tokens, 0), (0, 0))) + table

    def compute_output_shape(self, input_shape):
        batch, *places, dim = input_shape
        tokens = None if None in places else math.prod(places) + self.prefix_tokens
        return (batch, tokens, dim)

    def assign(
        self, class_token, positions, grid: tuple[int, int] | None = None, register_tokens=None
    ):
        """Sets the weights, with positions of any grid resized to this layer's.

        By default, the positions' grid is this layer's own if the sizes agree, otherwise a
        square. Returns the old and the new grid if it resized, otherwise None.
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
        if register_tokens is not None and self.register_tokens is not None:
            self.register_tokens.assign(ops.convert_to_numpy(register_tokens))
        return (grid, own) if grid != own else None

    def save_own_variables(self, store):
        for index, weight in enumerate(self.stored_weights):
            store[str(index)] = weight
        if self.grid is not None:
            store["grid"] = np.array(self.grid, "int32")

    def load_own_variables(self, store):
        grid = tuple(int(n) for n in store["grid"]) if "grid" in store else None
        positions = np.asarray(store["1"])
        if positions.shape[-1] != self.positions.shape[-1]:
            raise ValueError(
                f"{self.path} has tokens of width {self.positions.shape[-1]}, but those of the "
                f"saved weights have width {positions.shape[-1]}."
            )
        register_tokens = np.asarray(store["2"]) if "2" in store else None
        stored = 0 if register_tokens is None else register_tokens.shape[1]
        if stored not in (0, self.registers):
            raise ValueError(
                f"{self.path} has {self.registers} registers, but the saved weights have "
                f"{stored}. Make the model with registers={stored}."
            )
        if stored != self.registers:
            warnings.warn(
                f"The saved weights have no registers. The {self.registers} registers "
                "keep their initial values and must be trained.",
                stacklevel=2,
            )
        resized = self.assign(np.asarray(store["0"]), positions, grid, register_tokens)
        if resized:
            old, new = resized
            advice = (
                f" Each call resizes them again. To keep the grid {old}, load them into a model of "
                "the saved size, and call its `with_input_shape`."
            )
            warnings.warn(
                f"The saved positions are for a grid of {old} patches. They were resized to {new}."
                + (advice if self._of_any_size else ""),
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
            "registers": self.registers,
        }


def _initializer(initializer):
    if initializer is None:
        return keras.initializers.RandomNormal(stddev=1.0)
    return initializer if initializer == "sincos2d" else keras.initializers.get(initializer)


def _square(patches: int) -> tuple[int, int] | None:
    side = math.isqrt(patches)
    return (side, side) if side * side == patches else None
