"""CRATE, and its four sizes."""

from collections.abc import Callable, Sequence

import keras

from keras_crate.checks import check_choice, names_arguments
from keras_crate.layers import ConvolutionalStem, PatchEmbedding
from keras_crate.models.checks import ImageShape
from keras_crate.models.classifier import Classifier
from keras_crate.models.graph import Parts
from keras_crate.models.input_tensor import InputTensor
from keras_crate.models.operators import (
    Operator,
    given_operator,
    operator_config,
    operator_prototype,
)
from keras_crate.models.settings import Settings
from keras_crate.weights.find import WeightsArgument

STEMS = {"linear": PatchEmbedding, "convolution": ConvolutionalStem}


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATE(Classifier):
    """CRATE, the white-box transformer, for image classification.

    Every block is one step of an optimisation of the sparse rate reduction:
    MSSA compresses the tokens against learned subspaces, ISTA makes them
    sparse in a learned dictionary.

        Z <- Z + MSSA(LN(Z))        layers block_i_norm_1, block_i_mssa, block_i_add
        Z <- ISTA(LN(Z))            layers block_i_norm_2, block_i_ista

    Each operator can be replaced by another with the same role. Its layer has
    the operator's name, such as `block_i_tssa`.

    The model is a functional Keras model, so any layer can be an output:
    `keras.Model(model.input, model.get_layer("block_5_ista").output)`.

    Args:
        dim: Token width d. `heads` must divide it.
        depth: Number of blocks.
        heads: Number of subspaces in each block.
        stem: What maps images to tokens: `"linear"` (`PatchEmbedding`) or
            `"convolution"` (`ConvolutionalStem`).
        compress: Operator that compresses the tokens: `"mssa"`, `"tssa"`,
            `"cbsa"`, or your own layer class, factory or layer. A class or factory is called
            with `heads` and `dropout_rate`, if it takes arguments of these
            names. A layer is copied. A block adds its tokens to the operator's
            output unless the operator's attribute `residual` is false. An
            operator with a setting `grid` gets the model's rows and columns of
            patches. An operator with a setting `registers` gets the model's
            number of registers. `keras_crate.objective.measure` needs a method
            `subspace_bases()` like that of `MSSA`. If the operator is a
            `CompositeLayer`, a saved model keeps its quantisation and its
            adapters of LoRA.
        sparsify: Operator that makes the tokens sparse: `"ista"`,
            `"overcomplete_ista"`, or your own. A class or factory is called
            with `step_size` and `penalty`, if it takes them. A block adds its
            tokens only if the attribute `residual` is true. If the operator's
            output is not its sparse codes, it needs a method
            `sparse_codes(inputs)` like that of `OvercompleteISTA`, for
            `keras_crate.objective.measure`.
        step_size: eta of the sparse coding step, > 0.
        penalty: lambda of the sparse coding step, >= 0.
        weights: One of:

            - None for random initial values;
            - the name of a variant (`keras_crate.hub.list_weights()` lists
              them) or of its data, such as `"imagenet"`;
            - `"hf://user/repository"` or `"hf://user/repository@revision"`;
            - the path of a file that `model.save` (`.keras`) or
              `model.save_weights` (`.weights.h5`) wrote, of an authors'
              checkpoint (`.pth`, `.safetensors`, `.npz`), or of a folder with
              an unpacked `.keras` file;
            - a dictionary of tensors.

            Positions for another grid of patches are resized. If the weights
            have no head for the model's classes, the head keeps its initial
            values, with a warning.
        include_top: Whether the model has the head: normalisation and linear
            classifier.
        input_shape: Image shape without the batch: `(height, width, channels)`,
            or channels first if `data_format` is `"channels_first"`. By default,
            224x224 pixels of 3 channels, or the shape of `input_tensor`. The patch
            must divide height and width. With `(None, None, channels)`, the
            model takes images of any size. It resizes its table of positions
            to each batch's grid of patches (bicubic, as `with_input_shape`).
            The table has the grid that the weights were trained with, or by
            default the grid of 224x224 pixels. CBSA and masked autoencoders
            need one size.
        patch_size: Side of a patch in pixels, or a pair (height, width).
        classes: Number of classes, if `include_top`.
        pooling: `"token"` (class token), `"avg"` or `"max"` (mean or maximum of
            all tokens, class token included), or None for all tokens, with
            `include_top=False`.
        classifier_activation: Activation of the head; None for logits.
        include_preprocessing: Whether the model takes pixels in [0, 255] and
            normalises them. Otherwise it takes normalised images.
        mean: Mean of each channel for pixels in [0, 1]. By default, the mean
            that comes with the weights. If there is none, images of 3 channels
            are normalised by ImageNet's mean and deviation, and other images
            are rescaled to [-1, 1].
        std: Standard deviation of each channel, given with `mean`.
        dropout_rate: In [0, 1): dropout of embedded tokens, attention weights
            and the output of the compression step.
        drop_path_rate: In [0, 1): rate of stochastic depth in the last block.
            In training, a residual operator is skipped with this probability,
            for each image separately. The rate grows linearly from 0 in the
            first block.
        layer_scale: Initial value, such as 1e-5, of a learned factor for each
            channel of a residual operator's output; None for no factors.
        rematerialise: Whether the results inside each operator are computed
            again for the gradient instead of kept. Training then takes less
            memory and more time. It applies to the package's operators and to
            every `CompositeLayer`. A `keras.RematScope()` around the constructor
            has the same effect. It cannot be used with `dropout_rate`, and
            has no effect under JAX on CPUs, where XLA undoes it.
        class_names: One name for each class, for `decode_predictions`;
            `"imagenet"` stands for ImageNet-1K's names.
        registers: Number of register tokens: learned tokens between the class
            token and the patches, without positions. Poolings and maps leave
            them out (Darcet et al., arXiv:2309.16588). If loaded weights
            have no registers, the model's registers keep initial values.
        input_tensor: Symbolic images: a `keras.Input(...)`, or the output of layers
            that are applied to one. These layers become part of the model, and
            `input_shape` is the shape of their output.
        data_format: `"channels_last"` or `"channels_first"`; by default
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of the layers, such as `"mixed_bfloat16"`; by
            default `keras.config.dtype_policy()`. A quantised policy, such as
            `"int8_from_float32"`, has the effect of `quantize("int8")`.
        name: Name of the model.

    Call arguments:
        inputs: Images of shape `(batch, *input_shape)`.

    Returns:
        Probabilities of shape `(batch, classes)`. Without the head: features
        of shape `(batch, dim)`, or with `pooling=None` the tokens of shape
        `(batch, 1 + registers + n, dim)`: class token, registers, patches.

    Raises:
        ValueError: If an argument is out of range, two do not fit together, or
            the weights belong to another model.
        FileNotFoundError: If there is no such weights file, or no program can
            fetch the weights.

    Example:

    ```python
    model = keras_crate.CRATE(
        dim=128, depth=4, heads=4, input_shape=(32, 32, 3), patch_size=4, classes=10
    )
    model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129 (NeurIPS 2023).
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        stem: str = "linear",
        compress: Operator = "mssa",
        sparsify: Operator = "ista",
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
        check_choice("stem", stem, tuple(STEMS))
        compress = given_operator("compress", compress, heads=heads, dropout_rate=dropout_rate)
        sparsify = given_operator("sparsify", sparsify, step_size=step_size, penalty=penalty)
        super().__init__(locals())

    @staticmethod
    def parts(settings: Settings) -> Parts:
        s = settings
        compress = {"heads": s.heads, "dropout_rate": s.dropout_rate}
        sparsify = {"step_size": s.step_size, "penalty": s.penalty}
        return Parts(
            compress=operator_prototype("compress", s.compress, **compress),
            sparsify=operator_prototype("sparsify", s.sparsify, **sparsify),
            stem=STEMS[s.stem],
        )

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "compress": operator_config(config["compress"]),
            "sparsify": operator_config(config["sparsify"]),
        }


@names_arguments
def CRATETiny(
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
    name: str | None = "crate_tiny",
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
    stem: str = "linear",
    compress: Operator = "mssa",
    sparsify: Operator = "ista",
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATE:
    """CRATETiny: width 384, 12 blocks, 6 heads, for image classification.

    6,090,856 parameters at patch 16, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATE`, without `dim`, `depth` and `heads`.
    """
    return CRATE(dim=384, depth=12, heads=6, **locals())


@names_arguments
def CRATESmall(
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
    name: str | None = "crate_small",
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
    stem: str = "linear",
    compress: Operator = "mssa",
    sparsify: Operator = "ista",
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATE:
    """CRATESmall: width 576, 12 blocks, 12 heads, for image classification.

    13,116,328 parameters at patch 16, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATE`, without `dim`, `depth` and `heads`.
    """
    return CRATE(dim=576, depth=12, heads=12, **locals())


@names_arguments
def CRATEBase(
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
    name: str | None = "crate_base",
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
    stem: str = "linear",
    compress: Operator = "mssa",
    sparsify: Operator = "ista",
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATE:
    """CRATEBase: width 768, 12 blocks, 12 heads, for image classification.

    22,796,008 parameters at patch 16, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATE`, without `dim`, `depth` and `heads`.
    """
    return CRATE(dim=768, depth=12, heads=12, **locals())


@names_arguments
def CRATELarge(
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
    name: str | None = "crate_large",
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
    stem: str = "linear",
    compress: Operator = "mssa",
    sparsify: Operator = "ista",
    step_size: float = 0.1,
    penalty: float = 0.1,
) -> CRATE:
    """CRATELarge: width 1024, 24 blocks, 16 heads, for image classification.

    77,641,192 parameters at patch 16, for 224x224x3 pixels and 1,000 classes.
    The arguments are those of `CRATE`, without `dim`, `depth` and `heads`.
    """
    return CRATE(dim=1024, depth=24, heads=16, **locals())
