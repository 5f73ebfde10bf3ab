"""CRATE, and its four sizes."""

import keras

from keras_crate.layers import ISTA, MSSA
from keras_crate.models import checks
from keras_crate.models.sizes import SIZES
from keras_crate.models.weights_file import load_weights_file
from keras_crate.models.white_box import WhiteBoxModel


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATE(WhiteBoxModel):
    """CRATE, the white-box transformer, for image classification.

    Every block is one step of an optimisation of the sparse rate reduction:
    MSSA compresses the tokens against learned subspaces, ISTA makes them
    sparse in a learned dictionary.

        Z <- Z + MSSA(LN(Z))        layers block_i_norm_1, block_i_mssa, block_i_add
        Z <- ISTA(LN(Z))            layers block_i_norm_2, block_i_ista

    It is a functional Keras model, so any of its layers can be an output:
    `keras.Model(model.input, model.get_layer("block_5_ista").output)`.

    Args:
        dim: Token width d. Must be divisible by `heads`.
        depth: Number of blocks.
        heads: Number of subspaces in each block.
        input_shape: Image shape without the batch, `(height, width,
            channels)`, or channels first where the data format says so. Height
            and width must be divisible by the patch's.
        patch_size: Side of a patch in pixels, or a pair (height, width).
        classes: Number of classes, where `include_top`.
        include_top: Whether the head (normalisation and linear classifier) is
            included.
        pooling: `"token"` (class token), `"avg"` (mean of all tokens, class
            token included), or None for all tokens, with `include_top=False`.
        classifier_activation: Activation of the head, `"softmax"` by default;
            None for logits.
        include_preprocessing: Whether the model takes pixels in [0, 255] and
            normalises them itself; otherwise it takes normalised images.
        mean: Mean of each channel for pixels in [0, 1]. By default ImageNet's
            for 3 channels; other images are rescaled to [-1, 1].
        std: Standard deviation of each channel, given with `mean`.
        dropout_rate: In [0, 1); on embedded tokens, attention weights and
            MSSA's output.
        step_size: eta of ISTA.
        penalty: lambda of ISTA.
        class_names: One name a class, for `decode_predictions`; `"imagenet"`
            stands for ImageNet-1K's.
        data_format: `"channels_last"` or `"channels_first"`; by default
            `keras.config.image_data_format()`.
        dtype: Dtype or policy of the layers, such as `"mixed_bfloat16"`; by
            default `keras.config.dtype_policy()`.
        name: Name of the model.
        weights: None, or the path of a file written by `model.save` (`.keras`)
            or `model.save_weights` (`.weights.h5`). Positions for another grid
            are resized. A head of other classes stays at its initial values,
            with a warning.
        layer_settings: What freezing, quantisation and LoRA changed, as
            `get_config` wrote it. Not meant to be passed by hand.

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
    model = keras_crate.CRATE(
        dim=128, depth=4, heads=4, input_shape=(32, 32, 3), patch_size=4, classes=10
    )
    model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129 (NeurIPS 2023).
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        input_shape: tuple[int, int, int] = (224, 224, 3),
        patch_size: int | tuple[int, int] = 16,
        classes: int = 1000,
        include_top: bool = True,
        pooling: str | None = "token",
        classifier_activation="softmax",
        include_preprocessing: bool = True,
        mean=None,
        std=None,
        dropout_rate: float = 0.0,
        step_size: float = 0.1,
        penalty: float = 0.1,
        class_names=None,
        data_format: str | None = None,
        dtype=None,
        name: str | None = None,
        weights: str | None = None,
        layer_settings: dict | None = None,
    ):
        dim = checks.check_positive("dim", dim)
        depth = checks.check_positive("depth", depth)
        checks.check_heads(dim, heads)
        super().__init__(
            dim=dim,
            depth=depth,
            heads=int(heads),
            input_shape=input_shape,
            patch_size=patch_size,
            classes=classes,
            include_top=include_top,
            pooling=pooling,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            mean=mean,
            std=std,
            dropout_rate=dropout_rate,
            step_size=step_size,
            penalty=penalty,
            class_names=class_names,
            data_format=data_format,
            dtype=dtype,
            name=name,
            layer_settings=layer_settings,
        )
        if weights is not None:
            load_weights_file(self, weights)

    @staticmethod
    def add_blocks(tokens, make, *, depth, heads, step_size, penalty, dropout_rate):
        norm = keras.layers.LayerNormalization
        z = tokens
        for i in range(depth):
            w = make(norm, f"block_{i}_norm_1", epsilon=1e-5)(z)
            w = make(MSSA, f"block_{i}_mssa", heads=heads, dropout_rate=dropout_rate)(w)
            z = make(keras.layers.Add, f"block_{i}_add")([z, w])
            z = make(norm, f"block_{i}_norm_2", epsilon=1e-5)(z)
            z = make(ISTA, f"block_{i}_ista", step_size=step_size, penalty=penalty)(z)
        return z


def _size(constructor: str):
    """The constructor of one row of `SIZES`."""
    dim, depth, heads, parameters, top1 = SIZES[constructor]

    def build(
        weights: str | None = None,
        include_top: bool = True,
        input_shape: tuple[int, int, int] = (224, 224, 3),
        patch_size: int | tuple[int, int] = 16,
        classes: int = 1000,
        pooling: str | None = "token",
        classifier_activation="softmax",
        include_preprocessing: bool = True,
        dropout_rate: float = 0.0,
        class_names=None,
        name: str | None = None,
        **options,
    ) -> CRATE:
        return CRATE(
            dim=dim,
            depth=depth,
            heads=heads,
            input_shape=input_shape,
            patch_size=patch_size,
            classes=classes,
            include_top=include_top,
            pooling=pooling,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            dropout_rate=dropout_rate,
            class_names=class_names,
            name=name or _snake_case(constructor),
            weights=weights,
            **options,
        )

    build.__name__ = build.__qualname__ = constructor
    build.__doc__ = f"""{constructor}: width {dim}, {depth} blocks, {heads} heads.

    {parameters:,} parameters at patch 16, 224x224 and 1,000 classes. The authors
    report {top1} % top-1 on ImageNet-1K; no weights come with the package.

    Args:
        weights: None, or the path of a file written by `model.save` (`.keras`)
            or `model.save_weights` (`.weights.h5`). Positions for another grid
            are resized. A head of other classes stays at its initial values,
            with a warning.
        include_top: Whether the head is included.
        input_shape: Image shape without the batch, divisible by the patch.
        patch_size: Side of a patch in pixels, or a pair (height, width).
        classes: Number of classes.
        pooling: `"token"`, `"avg"`, or None with `include_top=False`.
        classifier_activation: Activation of the head; None for logits.
        include_preprocessing: Whether the model takes pixels in [0, 255].
        dropout_rate: In [0, 1).
        class_names: One name a class, or `"imagenet"`.
        name: Name of the model.
        **options: Other arguments of `CRATE`: `step_size`, `penalty`, `mean`,
            `std`, `data_format`, `dtype`.

    Returns:
        A `CRATE` model, not compiled.

    Raises:
        ValueError: If an argument is out of range, or the weights belong to
            another model.
        FileNotFoundError: If there is no such weights file.

    Example:

    ```python
    model = keras_crate.{constructor}(classes=10, input_shape=(32, 32, 3), patch_size=4)
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, table 1.
    """
    return build


def _snake_case(constructor: str) -> str:
    return constructor.replace("CRATE", "crate_").lower()


CRATETiny = _size("CRATETiny")
CRATESmall = _size("CRATESmall")
CRATEBase = _size("CRATEBase")
CRATELarge = _size("CRATELarge")
