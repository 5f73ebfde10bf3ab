"""CBSA: contract-and-broadcast self-attention, whose cost is linear in the number of tokens."""

import math

import keras
import numpy as np
from keras import ops

from keras_crate.checks import as_pair, check_count, names_arguments
from keras_crate.layers.attention import softmax_of_products, transposed
from keras_crate.layers.mssa import MSSA
from keras_crate.layers.subspace_layer import SubspaceLayer


@keras.saving.register_keras_serializable(package="keras_crate")
class CBSA(SubspaceLayer):
    """Contract-and-broadcast self-attention.

    Compresses tokens against `heads` learned subspaces, as `MSSA` does. A few
    representatives of the tokens attend to all tokens and to each other, and the
    result goes back to the tokens. There is no n x n matrix, and the cost is
    linear in the number of tokens n.

    The coordinates `W_k = Z U_k` of shape `(n, p)` are averaged over m windows of
    the grid of patches, which gives the representatives `R` of shape `(m, p)`:

        A = softmax(R W_k^T / sqrt(p))                  (m, n)
        R <- R + step_rep_k * A W_k                     contraction
        X = softmax(R R^T / sqrt(p)) R
        head k: step_x_k * A^T X                        broadcast

    The heads are concatenated and mapped back by a linear layer. The model adds
    the tokens: `Z <- Z + CBSA(LayerNormalization(Z))`.

    The windows are those of PyTorch's `AdaptiveAvgPool2d`. They may overlap, and
    repeat if the grid has fewer rows or columns than `representatives`. As in the
    authors' code, the averages are over all tokens but the last, class token
    first: the windows are shifted by one token against the patches.

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        representatives: Rows and columns of the representatives, or one number
            for both; m is their product.
        grid: Rows and columns of patches. By default, a square. In a model, the
            model's grid.
        use_bias: Whether the output map has a bias. The projection has none.
        dropout_rate: Dropout rate in [0, 1) of `A` and of outputs. Must be 0 with
            `rematerialise`.
        kernel_initializer: As in `MSSA`.
        registers: Number of register tokens after the class token. They are left
            out of the averages. A model sets this to its own number.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`, class token first.
        return_attention_scores: Whether to also return `A^T A`.
        training: Whether dropout is applied.

    Returns:
        Tokens of shape `(batch, n, d)`. With `return_attention_scores=True`, also
        `A^T A` of shape `(batch, heads, n, n)`, which the authors draw as
        attention. Its numbers are >= 0, and its rows do not sum to 1.

    Weights: `subspaces/kernel` is `[U_1 ... U_K]` of shape `(d, d)`; `step_x` and
    `step_rep` of shape `(heads, 1, 1)`, which start as N(0, 1);
    `output_projection` is the output map.

    Raises:
        ValueError: If `heads` is not a positive integer or does not divide `d`,
            or the grid does not have n - 1 patches.

    Example:

    ```python
    tokens = keras.random.normal((2, 197, 384))
    update = keras_crate.layers.CBSA(heads=6)(tokens)
    ```

    Reference:
        Wen and Li, "Towards Interpretable and Efficient Attention: Compressing
        All by Contracting a Few", arXiv:2509.16875 (NeurIPS 2025).
    """

    own_weights = ("step_x", "step_rep")

    @names_arguments
    def __init__(
        self,
        heads: int,
        representatives: int | tuple[int, int] = (8, 8),
        grid: tuple[int, int] | None = None,
        use_bias: bool = True,
        dropout_rate: float = 0.0,
        kernel_initializer=None,
        registers: int = 0,
        **kwargs,
    ):
        super().__init__(
            heads,
            use_bias=use_bias,
            dropout_rate=dropout_rate,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )
        self.representatives = as_pair(representatives, "representatives")
        self.grid = None if grid is None else as_pair(grid, "grid")
        self.registers = check_count("registers", registers)

    def build(self, input_shape):
        super().build(input_shape)
        batch, tokens, _ = input_shape
        self._windows = tuple(map(_means, self._grid(tokens), self.representatives))
        for name in self.own_weights:
            steps = self.add_weight(
                name=name,
                shape=(self.heads, 1, 1),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
            )
            setattr(self, name, steps)
        m = math.prod(self.representatives)
        self.score_dropout.build((batch, self.heads, m, tokens))

    def _grid(self, tokens: int | None) -> tuple[int, int]:
        grid, prefix = self.grid, 1 + self.registers
        if grid is None and tokens is not None:
            side = math.isqrt(max(0, tokens - prefix))
            grid = (side, side)
        if grid is None or tokens == prefix or tokens not in (None, prefix + math.prod(grid)):
            raise ValueError(
                "`grid` must have a patch for each token except the class token and registers. By "
                f"default, it is a square. Received: grid={self.grid}, {self.registers} registers "
                f"and {tokens} tokens"
            )
        return grid

    def _pooled(self, w):
        """Means of the coordinates over windows, `(batch, heads, m, p)`."""
        for_rows, for_columns = (ops.convert_to_tensor(x, dtype=w.dtype) for x in self._windows)
        rows, columns = for_rows.shape[1], for_columns.shape[1]
        p = self.head_dim
        if self.registers:
            w = ops.concatenate([w[:, :, :1], w[:, :, 1 + self.registers :]], axis=2)
        # As in the authors' weights: without the last token instead of the first.
        of_rows = ops.matmul(
            for_rows, ops.reshape(w[:, :, :-1], (-1, self.heads, rows, columns * p))
        )
        of_rows = ops.reshape(of_rows, (-1, self.heads, for_rows.shape[0], columns, p))
        return ops.reshape(
            ops.matmul(for_columns, of_rows),
            (-1, self.heads, math.prod(self.representatives), p),
        )

    def call(self, inputs, return_attention_scores=False, training=None):
        w = self.coordinates(inputs)
        step_x, step_rep = (ops.cast(step, w.dtype) for step in (self.step_x, self.step_rep))
        representatives = self._pooled(w)
        attention = softmax_of_products(representatives, w)
        dropped = self.score_dropout(attention, training=training)
        contracted = representatives + step_rep * ops.matmul(dropped, w)
        compressed = ops.matmul(softmax_of_products(contracted, contracted), contracted)
        parts = ops.matmul(transposed(dropped), step_x * compressed)
        outputs = self.merge(parts, training=training)
        if return_attention_scores:
            return outputs, ops.matmul(transposed(attention), attention)
        return outputs

    compute_output_spec = MSSA.compute_output_spec

    def get_config(self) -> dict:
        own = {
            "representatives": self.representatives,
            "grid": self.grid,
            "registers": self.registers,
        }
        return {**super().get_config(), **own}


def _means(size: int, count: int) -> np.ndarray:
    """Matrix `(count, size)` of means over windows, as PyTorch's adaptive pooling has them.

    Window i has the numbers from `floor(i size / count)` to `ceil((i + 1) size / count) - 1`.
    """
    matrix = np.zeros((count, size), "float32")
    for i in range(count):
        first, end = i * size // count, -(-(i + 1) * size // count)
        matrix[i, first:end] = 1 / (end - first)
    return matrix
