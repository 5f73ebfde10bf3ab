"""What the compression steps share: tokens seen in K learned subspaces."""

import keras
import numpy as np
from keras import ops

from keras_crate.checks import is_positive_integer
from keras_crate.layers.affine import affine
from keras_crate.layers.composite import CompositeLayer, matrix_of
from keras_crate.layers.initializers import linear_initializers


class SubspaceLayer(CompositeLayer):
    """Base of the layers that project tokens onto `heads` subspaces and back.

    It is a step that a block adds to its input: `residual` says so. A subclass
    says in `call` what becomes of the tokens' coordinates in the subspaces.

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        use_bias: Whether the output map has a bias.
        dropout_rate: Share in [0, 1) that is dropped in training, of the
            outputs and of what the subclass says.
        kernel_initializer: Initialiser of the projection and the output map.
        folded_norm: Whether the projection holds the scale and the offset of
            the normalisation before it, as `keras_crate.fuse` makes it.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Raises:
        ValueError: If `heads` is no positive integer or does not divide `d`.

    Example:

    ```python
    @keras.saving.register_keras_serializable()
    class ToTheMean(keras_crate.layers.SubspaceLayer):
        def call(self, inputs, training=None):
            w = self.coordinates(inputs)
            return self.merge(keras.ops.mean(w, axis=2, keepdims=True) - w, training)

    model = keras_crate.CRATE(
        24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10, compress=ToTheMean
    )
    ```
    """

    residual = True
    use_subspace_bias = False  # of the projection

    def __init__(
        self,
        heads: int,
        use_bias: bool = True,
        dropout_rate: float = 0.0,
        kernel_initializer=None,
        folded_norm: bool = False,
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
        if self.rematerialise and dropout_rate:
            raise ValueError(
                "A layer that is computed again would drop other numbers. Received: "
                f"rematerialise=True, dropout_rate={dropout_rate}. Leave one out."
            )
        self.folded_norm = folded_norm
        self.score_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="score_dropout"
        )
        self.output_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="output_dropout"
        )

    def build(self, input_shape):
        dim = input_shape[-1]
        kind = type(self).__name__
        if len(input_shape) != 3 or dim is None:
            raise ValueError(
                f"{kind} takes tokens of shape (batch, n, d) with d known. "
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
            use_bias=self.use_subspace_bias or self.folded_norm,
            **self._initializers(dim),
        )
        if self.folded_norm:
            # Kept, so that the subspaces can be told as they were.
            self.norm_scale = self.add_weight(
                name="norm_scale", shape=(dim,), initializer="ones", trainable=False
            )
            self.norm_offset = self.add_weight(
                name="norm_offset", shape=(dim,), initializer="zeros", trainable=False
            )
        self.output_projection = None
        if self.has_output_map():
            self.output_projection = self.make_sublayer(
                keras.layers.Dense,
                "output_projection",
                input_shape,
                units=dim,
                use_bias=self.use_bias,
                **self._initializers(dim),
            )
        self.output_dropout.build(input_shape)
        self.built = True

    def _initializers(self, dim):
        if self.kernel_initializer is None:
            return linear_initializers(dim)
        # One object each: a Keras initialiser draws the same values every time.
        config = keras.initializers.serialize(self.kernel_initializer)
        return {"kernel_initializer": keras.initializers.deserialize(config)}

    def has_output_map(self) -> bool:
        """Whether the heads are mapped back, and not only concatenated."""
        return True

    def coordinates(self, inputs):
        """The tokens' coordinates in each subspace, `W_k = Z U_k`.

        Args:
            inputs: Tokens of shape `(batch, n, d)`.

        Returns:
            Tensor of shape `(batch, heads, n, p)`.
        """
        split = (-1, ops.shape(inputs)[1], self.heads, self.head_dim)
        return ops.transpose(ops.reshape(affine(self.subspaces, inputs), split), (0, 2, 1, 3))

    def merge(self, parts, training=None):
        """Concatenates the heads' `(batch, heads, n, p)` and maps them to tokens."""
        tokens = (-1, ops.shape(parts)[2], self.heads * self.head_dim)
        outputs = ops.reshape(ops.transpose(parts, (0, 2, 1, 3)), tokens)
        if self.output_projection is not None:
            outputs = affine(self.output_projection, outputs)
        return self.output_dropout(outputs, training=training)

    def subspace_bases(self):
        """`U_1 ... U_K` of shape `(heads, d, p)`: adapted by LoRA, dequantised.

        Without a folded normalisation's scale. Where that is zero, so are they.
        """
        dim = self.heads * self.head_dim
        kernel = matrix_of(self.subspaces, dim, self.variable_dtype)
        if self.folded_norm:
            scale = ops.cast(self.norm_scale, kernel.dtype)[:, None]
            kernel = ops.where(scale == 0, 0.0, kernel / ops.where(scale == 0, 1.0, scale))
        return ops.transpose(ops.reshape(kernel, (dim, self.heads, self.head_dim)), (1, 0, 2))

    def normalized(self, inputs):
        """The inputs as the normalisation gives them that is folded into the projection.

        They themselves, where none is folded.

        Args:
            inputs: Tokens of shape `(batch, n, d)`.
        """
        inputs = ops.convert_to_tensor(inputs)
        if not self.folded_norm:
            return inputs
        scale, offset = (ops.cast(w, inputs.dtype) for w in (self.norm_scale, self.norm_offset))
        return inputs * scale + offset

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        # No shape tells the heads: weights of others would load and be wrong.
        store["heads"] = np.array(self.heads, "int32")

    def load_own_variables(self, store):
        store = {key: store[key] for key in store.keys()}  # noqa: SIM118 (Keras 3.8)
        heads = int(np.asarray(store.pop("heads", self.heads)))
        if heads != self.heads:
            raise ValueError(
                f"{self.path} has {self.heads} heads; the saved weights are for {heads} heads."
            )
        super().load_own_variables(store)

    def get_config(self) -> dict:
        initializer = self.kernel_initializer
        # Left out of most, since a subclass' constructor need not take it.
        folded = {"folded_norm": True} if self.folded_norm else {}
        return {
            **super().get_config(),
            **folded,
            "heads": self.heads,
            "use_bias": self.use_bias,
            "dropout_rate": self.dropout_rate,
            "kernel_initializer": initializer and keras.initializers.serialize(initializer),
        }


def divisors(number: int) -> list[int]:
    """Its divisors up to 64: the numbers of heads to choose from."""
    return [k for k in range(1, min(number, 64) + 1) if number % k == 0]
