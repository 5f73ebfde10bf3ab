"""CRATE-alpha, and its three sizes."""

from collections.abc import Callable, Sequence

import keras

from keras_crate.checks import check_above_zero, names_arguments
from keras_crate.layers import MSSA, OvercompleteISTA
from keras_crate.models.checks import ImageShape
from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.input_tensor import InputTensor
from keras_crate.models.settings import Settings
from keras_crate.weights.find import WeightsArgument


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATEAlpha(Classifier):
    """CRATE-alpha, the CRATE that scales, for image classification.

    It differs from `CRATE` in the sparse coding step, which has an overcomplete
    dictionary, a second dictionary that maps codes back to tokens, and a skip
    connection.

        Z <- Z + MSSA(LN(Z))        layers block_i_norm_1, block_i_mssa, block_i_add
        Z <- Z + OvercompleteISTA(LN(Z))
                                    layers block_i_norm_2, block_i_overcomplete_ista,
                                    block_i_add_2

    Patches are embedded by a linear map alone. MSSA's output map has no bias.
    The blocks' normalisations have epsilon 1e-6.

    Args:
        dim, depth, heads: As in `CRATE`.
        ratio: Atoms of the dictionary for each dimension of the tokens.
        decoupled: Whether a second dictionary maps the codes back to tokens.
        residual: Whether a block adds its tokens to the sparse coding step's
            output.
        epsilon: Epsilon of the head's normalisation: 1e-5 in the authors'
            PyTorch code, 1e-6 in their JAX code. By default, the epsilon that
            comes with the weights, or 1e-5.
        others: As in `CRATE`.

    Call arguments, outputs and errors are those of `CRATE`.

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

    @names_arguments
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
        weights: WeightsArgument = None,
        include_top: bool = True,
        input_shape: ImageShape | None = None,
        patch_size: int | tuple[int, int] = 16,
        classes: int = 1000,
        pooling: str | None = "token",
        classifier_activation: str | Callable | None = "softmax",
        include_preprocessing: bool = True,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale: float | None = None,
        rematerialise: bool = False,
        class_names: Sequence[str] | str | None = None,
        registers: int = 0,
        input_tensor: InputTensor = None,
        data_format: str | None = None,
        dtype=None,
        name: str | None = None,
    ):
        if epsilon is not None:
            check_above_zero("epsilon", epsilon)
        super().__init__(locals())

    @staticmethod
    def parts(settings: Settings) -> Parts:
        s = settings
        if s.epsilon is None:
            s.epsilon = 1e-5
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


@names_arguments
def CRATEAlphaBase(
    weights: WeightsArgument = None,
    include_top: bool = True,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 16,
    classes: int = 1000,
    pooling: str | None = "token",
    classifier_activation: str | Callable | None = "softmax",
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    class_names: Sequence[str] | str | None = None,
    name: str | None = "crate_alpha_base",
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    rematerialise: bool = False,
    ratio: int = 4,
    decoupled: bool = True,
    residual: bool = True,
    epsilon: float | None = None,
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATEAlpha:
    """CRATEAlphaBase: width 768, 12 blocks, 12 heads, for image classification.

    72,328,936 parameters at patch 16, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATEAlpha`, without `dim`, `depth` and `heads`.
    """
    return CRATEAlpha(dim=768, depth=12, heads=12, **locals())


@names_arguments
def CRATEAlphaLarge(
    weights: WeightsArgument = None,
    include_top: bool = True,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 14,
    classes: int = 1000,
    pooling: str | None = "token",
    classifier_activation: str | Callable | None = "softmax",
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    class_names: Sequence[str] | str | None = None,
    name: str | None = "crate_alpha_large",
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    rematerialise: bool = False,
    ratio: int = 4,
    decoupled: bool = True,
    residual: bool = True,
    epsilon: float | None = None,
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATEAlpha:
    """CRATEAlphaLarge: width 1024, 24 blocks, 16 heads, for image classification.

    253,650,920 parameters at patch 14, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATEAlpha`, without `dim`, `depth` and `heads`.
    """
    return CRATEAlpha(dim=1024, depth=24, heads=16, **locals())


@names_arguments
def CRATEAlphaHuge(
    weights: WeightsArgument = None,
    include_top: bool = True,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 14,
    classes: int = 1000,
    pooling: str | None = "token",
    classifier_activation: str | Callable | None = "softmax",
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    class_names: Sequence[str] | str | None = None,
    name: str | None = "crate_alpha_huge",
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    rematerialise: bool = False,
    ratio: int = 4,
    decoupled: bool = True,
    residual: bool = True,
    epsilon: float | None = None,
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATEAlpha:
    """CRATEAlphaHuge: width 1280, 32 blocks, 16 heads, for image classification.

    526,819,560 parameters at patch 14, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATEAlpha`, without `dim`, `depth` and `heads`.
    """
    return CRATEAlpha(dim=1280, depth=32, heads=16, **locals())
