"""The base of the operators that compress tokens in K learned subspaces."""

import keras
import numpy as np
from keras import ops

from keras_crate.checks import check_positive, names_arguments
from keras_crate.layers.composite import CompositeLayer, matrix_of
from keras_crate.layers.initializers import linear_initializers


class SubspaceLayer(CompositeLayer):
    """Base of the layers that project tokens onto `heads` subspaces and back.

    In `call`, a subclass computes new coordinates from the coordinates of the
    tokens in the subspaces. A block adds its tokens to the layer's output
    (`residual`).

    Args:
        heads: Number of subspaces. Must divide the token width `d`.
        use_bias: Whether the output map has a bias.
        dropout_rate: Dropout rate in [0, 1) of the outputs, and of `score_dropout`,
            which the subclass may call. Must be 0 with `rematerialise`.
        kernel_initializer: Initialiser of the projection and the output map.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Raises:
        ValueError: If `heads` is not a positive integer or does not divide `d`.

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
    # Attributes of a subclass' weights besides the two maps. `keras_crate.fuse` copies them.
    own_weights: tuple[str, ...] = ()

    @names_arguments
    def __init__(
        self,
        heads: int,
        use_bias: bool = True,
        dropout_rate: float = 0.0,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.heads = check_positive("heads", heads)
        self.use_bias = use_bias
        self.dropout_rate = dropout_rate
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        if self.rematerialise and dropout_rate:
            raise ValueError(
                "`rematerialise` cannot be used with `dropout_rate`: the layer is computed twice, "
                "and would drop other values the second time.\nReceived: rematerialise=True, "
                f"dropout_rate={dropout_rate}. Leave one of them out."
            )
        self.input_spec = keras.layers.InputSpec(ndim=3)
        self.score_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="score_dropout"
        )
        self.output_dropout = keras.layers.Dropout(
            dropout_rate, dtype=self.dtype_policy, name="output_dropout"
        )

    def build(self, input_shape):
        dim = input_shape[-1]
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
            use_bias=self.has_subspace_bias(),
            **self._initializers(dim),
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
        # A new object for each map: a Keras initialiser draws the same values every time.
        config = keras.initializers.serialize(self.kernel_initializer)
        return {"kernel_initializer": keras.initializers.deserialize(config)}

    def has_subspace_bias(self) -> bool:
        """Whether the projection has a bias."""
        return False

    def has_output_map(self) -> bool:
        """Whether a linear map follows the concatenated heads."""
        return True

    def coordinates(self, inputs):
        """The coordinates `W_k = Z U_k`, `(batch, heads, n, p)`, of tokens `(batch, n, d)`."""
        split = (-1, ops.shape(inputs)[1], self.heads, self.head_dim)
        return ops.transpose(ops.reshape(self.subspaces(inputs), split), (0, 2, 1, 3))

    def merge(self, parts, training=None):
        """Concatenates the heads' `(batch, heads, n, p)` and maps them to tokens."""
        tokens = (-1, ops.shape(parts)[2], self.heads * self.head_dim)
        outputs = ops.reshape(ops.transpose(parts, (0, 2, 1, 3)), tokens)
        if self.output_projection is not None:
            outputs = self.output_projection(outputs)
        return self.output_dropout(outputs, training=training)

    def subspace_bases(self):
        """Returns `U_1 ... U_K` of shape `(heads, d, p)`, adapted by LoRA and dequantised."""
        dim = self.heads * self.head_dim
        kernel = matrix_of(self.subspaces, dim, self.variable_dtype)
        return ops.transpose(ops.reshape(kernel, (dim, self.heads, self.head_dim)), (1, 0, 2))

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        # Shapes do not show the number of heads: weights for another number would load.
        store["heads"] = np.array(self.heads, "int32")

    def load_own_variables(self, store):
        store = dict(store)
        heads = int(np.asarray(store.pop("heads", self.heads)))
        if heads != self.heads:
            raise ValueError(
                f"{self.path} has {self.heads} heads, but the saved weights are for {heads} heads."
            )
        super().load_own_variables(store)

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
    """Returns the divisors up to 64: the numbers of heads to choose from."""
    return [k for k in range(1, min(number, 64) + 1) if number % k == 0]
