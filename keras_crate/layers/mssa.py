"""MSSA: multi-head subspace self-attention, the compression step of CRATE."""

import math

import keras
import numpy as np
from keras import ops

from keras_crate.layers.composite import CompositeLayer, matrix_of
from keras_crate.layers.initializers import linear_initializers
from keras_crate.layers.patch_embedding import is_positive_integer


@keras.saving.register_keras_serializable(package="keras_crate")
class MSSA(CompositeLayer):
    """Multi-head subspace self-attention.

    One step that compresses the tokens against `heads` learned subspaces. The
    projection `W_k = Z U_k` onto a subspace serves as query, key and value, so
    that a head is `softmax(W_k W_k^T / sqrt(p)) W_k` with `p = d / heads`; the
    heads are concatenated and mapped back by a linear layer.

    The sum with the input is left to the model: in CRATE,
    `Z <- Z + MSSA(LayerNormalization(Z))`.

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        use_bias: Whether the output map has a bias. The projection has none.
        dropout_rate: Share in [0, 1) of attention weights and of outputs that
            is dropped in training.
        kernel_initializer: Initialiser of the projection and the output map.
            By default uniform in `[-1/sqrt(d), 1/sqrt(d)]`, biases too; with
            an initialiser given, biases start at zero.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`.
        return_attention_scores: Whether to return the attention weights too.
        training: Whether dropout is applied.

    Returns:
        Tokens of shape `(batch, n, d)`; with `return_attention_scores=True` a
        pair of them and the weights of shape `(batch, heads, n, n)`, whose
        last axis sums to 1.

    Weights: `subspaces/kernel` is `[U_1 ... U_K]` of shape `(d, d)`;
    `output_projection` is the output map, absent with a single head, whose
    subspace is the whole space.

    Raises:
        ValueError: If `heads` is no positive integer or does not divide `d`.

    Example:

    ```python
    tokens = keras.random.normal((2, 197, 384))
    update, scores = keras_crate.layers.MSSA(heads=6)(
        tokens, return_attention_scores=True
    )
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 2.3, with the authors' learned output map.
    """

    def __init__(
        self,
        heads: int,
        use_bias: bool = True,
        dropout_rate: float = 0.0,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not is_positive_integer(heads):
            raise ValueError(
                "`heads` must be a positive integer that divides the token "
                f"width. Received: heads={heads!r}"
            )
        self.heads = int(heads)
        self.use_bias = use_bias
        self.dropout_rate = dropout_rate
        self.kernel_initializer = (
            keras.initializers.get(kernel_initializer) if kernel_initializer is not None else None
        )
        self.score_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="score_dropout"
        )
        self.output_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="output_dropout"
        )

    def build(self, input_shape):
        dim = input_shape[-1]
        if len(input_shape) != 3 or dim is None:
            raise ValueError(
                "MSSA takes tokens of shape (batch, n, d) with d known. "
                f"Received: input shape {tuple(input_shape)}"
            )
        if dim % self.heads:
            raise ValueError(
                f"The token width must be divisible by `heads`. Received: width {dim} "
                f"and heads={self.heads}; {dim} is divisible by {divisors(dim)}."
            )
        self.head_dim = dim // self.heads
        self.subspaces = self.make_sublayer(
            keras.layers.Dense,
            "subspaces",
            input_shape,
            units=dim,
            use_bias=False,
            **self._initializers(dim),
        )
        self.output_projection = None
        if self.heads > 1:
            self.output_projection = self.make_sublayer(
                keras.layers.Dense,
                "output_projection",
                input_shape,
                units=dim,
                use_bias=self.use_bias,
                **self._initializers(dim),
            )
        self.score_dropout.build((input_shape[0], self.heads, input_shape[1], input_shape[1]))
        self.output_dropout.build(input_shape)
        self.built = True

    def _initializers(self, dim):
        if self.kernel_initializer is None:
            return linear_initializers(dim)
        # One object each: a Keras initialiser draws the same values every time.
        config = keras.initializers.serialize(self.kernel_initializer)
        return {"kernel_initializer": keras.initializers.deserialize(config)}

    def call(self, inputs, return_attention_scores=False, training=None):
        # (batch, heads, n, p): the tokens' coordinates in each subspace.
        split = (-1, ops.shape(inputs)[1], self.heads, self.head_dim)
        w = ops.transpose(ops.reshape(self.subspaces(inputs), split), (0, 2, 1, 3))
        scaled = w * ops.cast(1.0 / math.sqrt(self.head_dim), w.dtype)
        scores = ops.softmax(ops.matmul(scaled, ops.transpose(w, (0, 1, 3, 2))), axis=-1)
        outputs = ops.matmul(self.score_dropout(scores, training=training), w)
        outputs = ops.reshape(ops.transpose(outputs, (0, 2, 1, 3)), (-1, *ops.shape(inputs)[1:]))
        if self.output_projection is not None:
            outputs = self.output_projection(outputs)
        outputs = self.output_dropout(outputs, training=training)
        if return_attention_scores:
            return outputs, scores
        return outputs

    def subspace_bases(self):
        """`U_1 ... U_K` of shape `(heads, d, p)`: adapted by LoRA, dequantised."""
        dim = self.heads * self.head_dim
        kernel = matrix_of(self.subspaces, dim, self.variable_dtype)
        return ops.transpose(ops.reshape(kernel, (dim, self.heads, self.head_dim)), (1, 0, 2))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def compute_output_spec(self, inputs, return_attention_scores=False, training=None):
        batch, tokens, _ = inputs.shape
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        shape = (batch, self.heads, tokens, tokens)
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)

    def save_own_variables(self, store):
        # No shape tells the heads: weights of others would load and be wrong.
        store["heads"] = np.array(self.heads, "int32")

    def load_own_variables(self, store):
        keys = store.keys()  # a store of Keras 3.8 has no `in`
        heads = int(np.asarray(store["heads"])) if "heads" in keys else self.heads
        if heads != self.heads:
            raise ValueError(
                f"{self.path} has {self.heads} heads; the saved weights are for {heads} heads."
            )

    def get_config(self) -> dict:
        initializer = self.kernel_initializer
        return {
            **super().get_config(),
            "heads": self.heads,
            "use_bias": self.use_bias,
            "dropout_rate": self.dropout_rate,
            "kernel_initializer": initializer and keras.initializers.serialize(initializer),
        }


def divisors(number: int) -> list[int]:
    """Its divisors up to 64: the numbers of heads to choose from."""
    return [k for k in range(1, min(number, 64) + 1) if number % k == 0]
