"""ISTA: one step of sparse coding in a learned dictionary."""

import math

import keras
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.sparse_coding import SparseCoding


@keras.saving.register_keras_serializable(package="keras_crate")
class ISTA(SparseCoding):
    """One iterative shrinkage-thresholding step, which makes tokens sparse.

    With a token `x` (a row) and the dictionary `D` of size d x d,

        relu( x + eta (x D - x D^T D) - eta lambda ),

    which is a proximal gradient step on `lambda |z|_1 + 1/2 |x - z D^T|^2` over
    `z >= 0` that starts at `z = x`. The step contains the sum with `x`, so a
    block adds no skip connection.

    The argument of `relu` is linear in `x`. If a batch has more than `d` tokens
    (in training, more than `2 d / 3`), the layer forms the matrix
    `A = I + eta (D - D^T D)` and takes one product, `x A`. With fewer tokens it
    takes two products, `(x - x D^T) D`.

    Args:
        step_size: eta, > 0.
        penalty: lambda, >= 0, the factor of the norm `|z|_1`.
        dictionary_initializer: Initialiser of `D`.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(..., d)`, normalised.
        training: Whether gradients will be taken, for the choice of the form.

    Returns:
        Tokens of shape `(..., d)`, non-negative, many of them exactly zero.

    Weights: `dictionary/kernel` is `D`.

    Raises:
        ValueError: If `step_size` or `penalty` is out of range.

    Example:

    ```python
    tokens = keras.random.normal((2, 197, 384))
    sparse = keras_crate.layers.ISTA()(tokens)
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 2.4.
    """

    residual = False

    @names_arguments
    def __init__(
        self,
        step_size: float = 0.1,
        penalty: float = 0.1,
        dictionary_initializer="he_uniform",
        **kwargs,
    ):
        super().__init__(step_size, penalty, dictionary_initializer, **kwargs)

    def build(self, input_shape):
        self.dim = input_shape[-1]
        self.dictionary = self.make_dictionary(
            "dictionary", input_shape, self.dim, self.dictionary_initializer
        )
        self.built = True

    def call(self, inputs, training=None):
        d = self.dictionary_matrix()
        shape = ops.shape(inputs)[:-1]
        if all(isinstance(size, int) for size in shape):
            fold = _fold_pays(math.prod(shape), self.dim, training)
            form = self._one_product if fold else self._two_products
            outputs = form(inputs, d, training)
        elif keras.backend.backend() == "tensorflow":
            # TensorFlow's graphs learn the batch size only when they run, and choose then. The
            # branches take a matrix, since XLA cannot differentiate them otherwise.
            x = ops.reshape(inputs, (-1, self.dim))
            outputs = ops.cond(
                _fold_pays(ops.shape(x)[0], self.dim, training),
                lambda: self._one_product(x, d, training),
                lambda: self._two_products(x, d, training),
            )
            outputs = ops.reshape(outputs, ops.shape(inputs))
        else:  # an export for any batch size
            outputs = self._one_product(inputs, d, training)
        return ops.relu(outputs - self.step_size * self.penalty)

    def _one_product(self, x, d, training=None):
        gram = _gram(d) if training else ops.matmul(ops.transpose(d), d)
        identity = ops.eye(self.dim, dtype=d.dtype)
        return ops.matmul(x, identity + self.step_size * (d - gram))

    def _two_products(self, x, d, training=None):
        error = x - ops.matmul(x, ops.transpose(d))
        return x + self.step_size * ops.matmul(error, d)


def _fold_pays(tokens, dim: int, training):
    """Whether forming `A` and multiplying by it takes fewer multiplications.

    Forward: `d^3 + n d^2` against `2 n d^2`. With the backward pass:
    `2 d^3 + 3 n d^2` against `6 n d^2`.
    """
    return 3 * tokens > 2 * dim if training else tokens > dim


@ops.custom_gradient
def _gram(d):
    """`D^T D`, with a gradient of one product instead of the backends' two."""

    def gradient(*upstream_arguments, upstream=None):
        g = upstream_arguments[0] if upstream is None else upstream
        return ops.matmul(d, g + ops.transpose(g))

    return ops.matmul(ops.transpose(d), d), gradient
