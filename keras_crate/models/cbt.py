"""CBT, and its four sizes."""

from collections.abc import Callable, Sequence

import keras

from keras_crate.checks import as_pair, names_arguments
from keras_crate.layers import CBSA, ISTA, ConvolutionalStem
from keras_crate.models.checks import ImageShape
from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.input_tensor import InputTensor
from keras_crate.models.settings import Settings
from keras_crate.weights.find import WeightsArgument


@keras.saving.register_keras_serializable(package="keras_crate")
class CBT(Classifier):
    """CBT, the contract-and-broadcast transformer, for image classification.

    It differs from `CRATE` in the attention, whose cost is linear in the number
    of tokens, and in the stem, which has convolutions.

        Z <- Z + CBSA(LN(Z))        layers block_i_norm_1, block_i_cbsa, block_i_add
        Z <- ISTA(LN(Z))            layers block_i_norm_2, block_i_ista

    `CRATE(..., stem="convolution", compress="cbsa")` is the same model with
    operators that can be replaced.

    Args:
        dim, depth, heads: As in `CRATE`. The width must be divisible by 2 for
            each convolution of the stem but one: by 8 with patches of 16 pixels.
        representatives: Rows and columns of the representatives in the
            attention, or one number for both.
        patch_size: Side of a patch in pixels, a power of 2 from 2, or a pair of
            them.
        others: As in `CRATE`.

    Call arguments:
        inputs: Images of shape `(batch, *input_shape)`.
        training: Whether the stem's batch normalisation uses the statistics of
            the batch, and updates its running statistics.

    Returns:
        As `CRATE`.

    Raises:
        ValueError, FileNotFoundError: As `CRATE`.

    Example:

    ```python
    model = keras_crate.CBT(
        dim=128, depth=4, heads=4, input_shape=(32, 32, 3), patch_size=4, classes=10
    )
    model.compile(optimizer="lion", loss="sparse_categorical_crossentropy")
    ```

    Reference:
        Wen and Li, "Towards Interpretable and Efficient Attention: Compressing
        All by Contracting a Few", arXiv:2509.16875 (NeurIPS 2025).
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        representatives: int | tuple[int, int] = (8, 8),
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
        representatives = as_pair(representatives, "representatives")
        super().__init__(locals())

    @staticmethod
    def parts(settings: Settings) -> Parts:
        s = settings
        return Parts(
            compress=CBSA(s.heads, s.representatives, dropout_rate=s.dropout_rate),
            sparsify=ISTA(s.step_size, s.penalty),
            stem=ConvolutionalStem,
        )


@names_arguments
def CBTTiny(
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
    name: str | None = "cbt_tiny",
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
    representatives: int | tuple[int, int] = (8, 8),
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CBT:
    """CBTTiny: width 192, 12 blocks, 3 heads, for image classification.

    1,789,192 parameters at patch 16, for 224x224x3 pixels and 1,000 classes,
    without the batch normalisation's running statistics. The arguments are those
    of `CBT`, without `dim`, `depth` and `heads`.
    """
    return CBT(dim=192, depth=12, heads=3, **locals())


@names_arguments
def CBTSmall(
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
    name: str | None = "cbt_small",
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
    representatives: int | tuple[int, int] = (8, 8),
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CBT:
    """CBTSmall: width 384, 12 blocks, 6 heads, for image classification.

    6,667,048 parameters at patch 16, for 224x224x3 pixels and 1,000 classes,
    without the batch normalisation's running statistics. The arguments are those
    of `CBT`, without `dim`, `depth` and `heads`.
    """
    return CBT(dim=384, depth=12, heads=6, **locals())


@names_arguments
def CBTBase(
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
    name: str | None = "cbt_base",
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
    representatives: int | tuple[int, int] = (8, 8),
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CBT:
    """CBTBase: width 768, 12 blocks, 12 heads, for image classification.

    25,691,752 parameters at patch 16, for 224x224x3 pixels and 1,000 classes,
    without the batch normalisation's running statistics. The arguments are those
    of `CBT`, without `dim`, `depth` and `heads`.
    """
    return CBT(dim=768, depth=12, heads=12, **locals())


@names_arguments
def CBTLarge(
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
    name: str | None = "cbt_large",
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
    representatives: int | tuple[int, int] = (8, 8),
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CBT:
    """CBTLarge: width 1024, 24 blocks, 16 heads, for image classification.

    83,051,368 parameters at patch 16, for 224x224x3 pixels and 1,000 classes,
    without the batch normalisation's running statistics. The arguments are those
    of `CBT`, without `dim`, `depth` and `heads`.
    """
    return CBT(dim=1024, depth=24, heads=16, **locals())
