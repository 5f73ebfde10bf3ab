"""TSSA: token statistics self-attention, whose cost is linear in the number of tokens."""

import keras
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.subspace_layer import SubspaceLayer


@keras.saving.register_keras_serializable(package="keras_crate")
class TSSA(SubspaceLayer):
    """Token statistics self-attention.

    Compresses tokens against `heads` learned subspaces, as `MSSA` does. It uses
    second moments of the tokens instead of their pairwise similarities: there
    is no n x n matrix, and the cost is linear in the number of tokens n.

    With `W_k = Z U_k` of shape `(n, p)`, and `V_k` equal to `W_k` with every
    column scaled to length 1,

        Pi = softmax over k of ( temperature_k * row sums of V_k^2 )
        m_k = sum over tokens of Pi_k / sum(Pi_k) * W_k^2
        head k: - Pi_k * W_k / (1 + m_k)

    `Pi` is the membership of each token in each subspace, and `m_k` the second
    moment of its members. The heads are concatenated and mapped back by a
    linear layer. The model adds the tokens: `Z <- Z + TSSA(LayerNormalization(Z))`.

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        use_bias: Whether the output map has a bias.
        use_subspace_bias: Whether the projection has a bias, as in the released
            ToST models.
        dropout_rate: Dropout rate in [0, 1) of the factors `1 / (1 + m_k)` and
            of outputs. Must be 0 with `rematerialise`.
        kernel_initializer: As in `MSSA`.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`.
        return_memberships: Whether to also return `Pi`.
        training: Whether dropout is applied.

    Returns:
        Tokens of shape `(batch, n, d)`. With `return_memberships=True`, also
        `Pi` of shape `(batch, heads, n)`, whose sum over heads is 1.

    Weights: `subspaces/kernel` is `[U_1 ... U_K]` of shape `(d, d)`;
    `temperature` of shape `(heads, 1)`; `output_projection` is the output map.

    Raises:
        ValueError: If `heads` is not a positive integer or does not divide `d`.

    Example:

    ```python
    tokens = keras.random.normal((2, 4097, 384))
    update = keras_crate.layers.TSSA(heads=6)(tokens)
    ```

    Reference:
        Wu et al., "Token Statistics Transformer: Linear-Time Attention via
        Variational Rate Reduction", arXiv:2412.17810.
    """

    own_weights = ("temperature",)

    @names_arguments
    def __init__(
        self,
        heads: int,
        use_bias: bool = True,
        use_subspace_bias: bool = False,
        dropout_rate: float = 0.0,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(
            heads,
            use_bias=use_bias,
            dropout_rate=dropout_rate,
            kernel_initializer=kernel_initializer,
            **kwargs,
        )
        self.use_subspace_bias = use_subspace_bias

    def has_subspace_bias(self) -> bool:
        return self.use_subspace_bias

    def build(self, input_shape):
        super().build(input_shape)
        self.temperature = self.add_weight(
            name="temperature", shape=(self.heads, 1), initializer="ones"
        )
        self.score_dropout.build((input_shape[0], self.heads, 1, self.head_dim))

    def call(self, inputs, return_memberships=False, training=None):
        # Half precision cannot hold sums over all tokens, nor the bounds below.
        w = ops.cast(self.coordinates(inputs), self._statistics_dtype)
        squares = ops.square(w)
        # The bound comes before the square root, whose gradient at 0 is infinite.
        lengths = ops.sqrt(ops.maximum(ops.sum(squares, axis=2, keepdims=True), 1e-24))
        normed = ops.square(w / lengths)
        temperature = ops.cast(self.temperature, w.dtype)
        memberships = ops.softmax(ops.sum(normed, axis=-1) * temperature, axis=1)
        total = ops.sum(memberships, axis=-1, keepdims=True) + 1e-8
        moments = ops.matmul((memberships / total)[:, :, None], squares)
        shrinkage = self.score_dropout(1.0 / (1.0 + moments), training=training)
        shrinkage = ops.cast(shrinkage, w.dtype)
        parts = -w * memberships[..., None] * shrinkage
        outputs = self.merge(ops.cast(parts, self.compute_dtype), training=training)
        if return_memberships:
            return outputs, memberships
        return outputs

    @property
    def _statistics_dtype(self) -> str:
        return keras.backend.result_type(self.compute_dtype, "float32")

    def compute_output_spec(self, inputs, return_memberships=False, training=None):
        batch, tokens, _ = inputs.shape
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_memberships:
            return outputs
        return outputs, keras.KerasTensor((batch, self.heads, tokens), dtype=self._statistics_dtype)

    def get_config(self) -> dict:
        return {**super().get_config(), "use_subspace_bias": self.use_subspace_bias}
