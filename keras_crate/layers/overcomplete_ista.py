"""OvercompleteISTA: sparse coding in a dictionary wider than the tokens."""

import keras
from keras import ops

from keras_crate.checks import check_positive, names_arguments
from keras_crate.layers.sparse_coding import SparseCoding


@keras.saving.register_keras_serializable(package="keras_crate")
class OvercompleteISTA(SparseCoding):
    """Two shrinkage steps in an overcomplete dictionary, and a map back to tokens.

    With a token `x` (a row) and the dictionary `D` of size d x (ratio d), the
    code starts at zero and takes two proximal gradient steps on
    `lambda |z|_1 + 1/2 |x - z D^T|^2` over `z >= 0`:

        z_1 = relu( eta x D - eta lambda )
        z_2 = relu( z_1 - eta (z_1 D^T - x) D - eta lambda )

    The output is `z_2 D_1^T` with a second dictionary `D_1` of the same size,
    or `z_2 D^T` with `decoupled=False`.

    CRATE-alpha's sparse coding step differs from CRATE's in three points:

    | model | layer |
    | --- | --- |
    | CRATE | `ISTA()` |
    | + overcomplete | `OvercompleteISTA(decoupled=False, residual=False)` |
    | + decoupled | `OvercompleteISTA(decoupled=True, residual=False)` |
    | + residual | `OvercompleteISTA(decoupled=True, residual=True)` |

    Args:
        ratio: Number of atoms of the dictionary divided by d.
        step_size: eta, > 0.
        penalty: lambda, >= 0, the factor of the norm `|z|_1`.
        decoupled: Whether a second dictionary maps the codes back.
        residual: Whether a block adds its tokens, before the normalisation, to
            this layer's output.
        dictionary_initializer: Initialiser of `D` and `D_1`, for matrices of
            shape `(d, ratio d)`.
        **kwargs: `name`, `dtype`, as in `keras.layers.Layer`.

    Call arguments:
        inputs: Tokens of shape `(..., d)`, normalised.

    Returns:
        Tokens of shape `(..., d)`. They are not sparse. The codes, which
        `sparse_codes(inputs)` returns, are.

    Weights: `dictionary/kernel` is `D` of shape `(d, ratio d)`;
    `output_dictionary/kernel` is `D_1^T` of shape `(ratio d, d)`.

    Raises:
        ValueError: If `ratio`, `step_size` or `penalty` is out of range.

    Example:

    ```python
    tokens = keras.random.normal((2, 197, 384))
    layer = keras_crate.layers.OvercompleteISTA()
    update = layer(tokens)  # (2, 197, 384)
    zeros = keras.ops.mean(layer.sparse_codes(tokens) == 0)
    ```

    Reference:
        Yang et al., "Scaling White-Box Transformers for Vision",
        arXiv:2405.20299, section 3.
    """

    @names_arguments
    def __init__(
        self,
        ratio: int = 4,
        step_size: float = 0.1,
        penalty: float = 0.1,
        decoupled: bool = True,
        residual: bool = True,
        dictionary_initializer="he_uniform",
        **kwargs,
    ):
        super().__init__(step_size, penalty, dictionary_initializer, **kwargs)
        self.ratio = check_positive("ratio", ratio)
        self.decoupled = decoupled
        self.residual = residual

    def build(self, input_shape):
        self.dim = input_shape[-1]
        atoms = self.ratio * self.dim
        initializer = self.dictionary_initializer
        self.dictionary = self.make_dictionary("dictionary", input_shape, atoms, initializer)
        self.output_dictionary = None
        if self.decoupled:
            codes, initializer = (*input_shape[:-1], atoms), Transposed(initializer)
            self.output_dictionary = self.make_dictionary(
                "output_dictionary", codes, self.dim, initializer
            )
        self.built = True

    def call(self, inputs):
        d = self.dictionary_matrix()
        codes = self._codes(inputs, d)
        if self.output_dictionary is not None:
            return self.output_dictionary(codes)
        return ops.matmul(codes, ops.transpose(d))

    def _codes(self, x, d):
        threshold = self.step_size * self.penalty
        z = ops.relu(self.step_size * ops.matmul(x, d) - threshold)
        gradient = ops.matmul(ops.matmul(z, ops.transpose(d)) - x, d)
        return ops.relu(z - self.step_size * gradient - threshold)

    def sparse_codes(self, inputs):
        """Returns the codes `z_2` of normalised tokens, `(..., ratio d)`. Many are zero."""
        inputs = ops.cast(inputs, self.compute_dtype)
        return self._codes(inputs, self.dictionary_matrix())

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "decoupled": self.decoupled,
            "residual": self.residual,
        }


@keras.saving.register_keras_serializable(package="keras_crate")
class Transposed(keras.initializers.Initializer):
    """Transposes the values of a copy of another initialiser, which draws other values."""

    def __init__(self, initializer):
        config = keras.initializers.serialize(keras.initializers.get(initializer))
        self.initializer = keras.initializers.deserialize(config)

    def __call__(self, shape, dtype=None):
        return ops.transpose(self.initializer(tuple(shape)[::-1], dtype=dtype))

    def get_config(self) -> dict:
        return {"initializer": keras.initializers.serialize(self.initializer)}
