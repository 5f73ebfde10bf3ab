"""MSSA: multi-head subspace self-attention, the compression step of CRATE."""

import keras
from keras import ops

from keras_crate.layers.attention import attention_form, attention_scores, subspace_attention
from keras_crate.layers.subspace_layer import SubspaceLayer


@keras.saving.register_keras_serializable(package="keras_crate")
class MSSA(SubspaceLayer):
    """Multi-head subspace self-attention.

    One step that compresses the tokens against `heads` learned subspaces. The
    coordinates `W_k = Z U_k` in a subspace are query, key and value:

        head k: softmax(W_k W_k^T / sqrt(p)) W_k   with   p = d / heads

    The heads are concatenated and mapped back by a linear layer. The model
    adds the tokens: `Z <- Z + MSSA(LayerNormalization(Z))`.

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        use_bias: Whether the output map has a bias. The projection has none.
        dropout_rate: Dropout rate in [0, 1) of attention weights and outputs.
            Must be 0 with `rematerialise`.
        kernel_initializer: Initialiser of the projection and the output map.
            By default uniform in `[-1/sqrt(d), 1/sqrt(d)]`, biases too. With
            an initialiser given, biases start at zero.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(batch, n, d)`.
        return_attention_scores: Whether to also return the attention weights.
        training: Whether dropout is applied.

    Returns:
        Tokens of shape `(batch, n, d)`. With `return_attention_scores=True`,
        also the attention weights of shape `(batch, heads, n, n)`, whose last
        axis sums to 1.

    Weights: `subspaces/kernel` is `[U_1 ... U_K]` of shape `(d, d)`;
    `output_projection` is the output map. A single head has no output map: its
    subspace is the whole space.

    Raises:
        ValueError: If `heads` is not a positive integer or does not divide `d`.

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

    def has_output_map(self) -> bool:
        return self.heads > 1

    def build(self, input_shape):
        super().build(input_shape)
        self.score_dropout.build((input_shape[0], self.heads, input_shape[1], input_shape[1]))

    def call(self, inputs, return_attention_scores=False, training=None):
        w = self.coordinates(inputs)
        if return_attention_scores or (training and self.dropout_rate):
            scores = attention_scores(w)
            parts = ops.matmul(self.score_dropout(scores, training=training), w)
            outputs = self.merge(parts, training=training)
            return (outputs, scores) if return_attention_scores else outputs
        form = attention_form(w.shape[2], keras.backend.standardize_dtype(w.dtype), bool(training))
        return self.merge(subspace_attention(w, form), training=training)

    def compute_output_spec(self, inputs, return_attention_scores=False, training=None):
        batch, tokens, _ = inputs.shape
        outputs = keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return outputs
        shape = (batch, self.heads, tokens, tokens)
        return outputs, keras.KerasTensor(shape, dtype=self.compute_dtype)
