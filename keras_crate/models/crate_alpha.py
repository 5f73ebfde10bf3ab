"""CRATE-alpha, and its three sizes."""

import types

import keras

from keras_crate.layers import MSSA, OvercompleteISTA
from keras_crate.models import checks
from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.sizes import size_constructor


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATEAlpha(Classifier):
    """CRATE-alpha, the CRATE that scales, for image classification.

    It differs from `CRATE` in the sparse coding step: an overcomplete
    dictionary, a second one that rebuilds the tokens, and a skip connection.

        Z <- Z + MSSA(LN(Z))        layers block_i_norm_1, block_i_mssa, block_i_add
        Z <- Z + OvercompleteISTA(LN(Z))
                                    layers block_i_norm_2, block_i_overcomplete_ista,
                                    block_i_add_2

    Patches are embedded by a linear map alone; MSSA's output map has no bias;
    the blocks' normalisations have epsilon 1e-6.

    Args:
        {options}
        ratio: Atoms of the dictionary for each dimension of the tokens.
        decoupled: Whether tokens are rebuilt by a dictionary of their own.
        residual: Whether the sparse coding step is added to its input.
        epsilon: Of the head's normalisation: 1e-5 in the authors' PyTorch
            code, 1e-6 in their JAX code. By default what the `weights` named
            were trained with, else 1e-5.

    Call arguments:
        inputs: Images of shape `(batch, *input_shape)`.

    Returns:
        Probabilities of shape `(batch, classes)`; without the head, features
        of shape `(batch, dim)`, or tokens `(batch, n + 1, dim)` with
        `pooling=None`, class token first.

    Raises:
        ValueError: If an argument is out of range, two do not fit together, or
            the weights belong to another model.
        FileNotFoundError: If there is no such weights file.

    Example:

    ```python
    model = keras_crate.CRATEAlpha(
        dim=128, depth=4, heads=4, input_shape=(32, 32, 3), patch_size=4, classes=10
    )
    model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
    ```

    Reference:
        Yang et al., "Scaling White-Box Transformers for Vision",
        arXiv:2405.20299 (NeurIPS 2024).
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        ratio: int = 4,
        decoupled: bool = True,
        residual: bool = True,
        epsilon: float | None = None,
        step_size: float = 0.1,
        penalty: float = 0.1,
        **options,
    ):
        if epsilon is not None:
            checks.check_epsilon(epsilon)
        super().__init__(
            dim=dim,
            depth=depth,
            heads=heads,
            ratio=ratio,
            decoupled=decoupled,
            residual=residual,
            epsilon=epsilon,
            step_size=step_size,
            penalty=penalty,
            **options,
        )

    unset = types.MappingProxyType({"epsilon": 1e-5})

    @staticmethod
    def parts(settings) -> Parts:
        s = settings
        return Parts(
            compress=MSSA(
                s.heads,
                use_bias=False,
                dropout_rate=s.dropout_rate,
                kernel_initializer=_normal(0.02),
            ),
            sparsify=OvercompleteISTA(
                s.ratio, s.step_size, s.penalty, decoupled=s.decoupled, residual=s.residual
            ),
            epsilon=1e-6,
            patches={"use_norm": False, "kernel_initializer": "he_uniform"},
            tokens={
                "class_token_initializer": _normal(1e-6),
                "position_initializer": _normal(0.02),
            },
            norm_epsilon=s.epsilon,
            head={"kernel_initializer": _normal(0.02), "bias_initializer": "zeros"},
        )


def _normal(stddev: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=stddev)


def _size(constructor: str):
    return size_constructor(
        CRATEAlpha,
        constructor,
        reference="""Yang et al., "Scaling White-Box Transformers for Vision",
        arXiv:2405.20299, table 1.""",
        trained=" after pre-training on ImageNet-21K",
    )


CRATEAlphaBase = _size("CRATEAlphaBase")
CRATEAlphaLarge = _size("CRATEAlphaLarge")
CRATEAlphaHuge = _size("CRATEAlphaHuge")
