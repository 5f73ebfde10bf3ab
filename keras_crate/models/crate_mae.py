"""CRATE-MAE, a masked autoencoder, and its four sizes."""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_crate.checks import is_number, names_arguments
from keras_crate.distributed.replicas import share_of_replica
from keras_crate.figure import GREY, ShownAsFigure, displayable, draw_rows, mark_untrained
from keras_crate.layers import PatchMasking, PatchNoise
from keras_crate.layers.dense import Dense
from keras_crate.layers.patch_embedding import cut_patches, join_patches
from keras_crate.models import checks
from keras_crate.models.checks import ImageShape
from keras_crate.models.classifier import taken_from, weights_for
from keras_crate.models.crate_mae_encoder import XAVIER, CRATEMAEEncoder, encoder_parts
from keras_crate.models.derived import derived
from keras_crate.models.graph import Graph, Parts
from keras_crate.models.input_tensor import InputTensor
from keras_crate.models.operators import fused_operator
from keras_crate.models.own_loss import OwnLoss
from keras_crate.models.rebuild import carry_weights
from keras_crate.models.settings import (
    Form,
    Settings,
    arguments_of,
    built_as,
    channels_axis,
    rescaling_of,
    scope_as_setting,
)
from keras_crate.models.untrained import is_untrained
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.find import WeightsArgument


@dataclasses.dataclass(frozen=True, repr=False)
class Reconstruction(ShownAsFigure):
    """Result of `CRATEMAE.reconstruct`: arrays in the data format of the images.

    It can be unpacked: `masked, reconstruction, pasted, mask = mae.reconstruct(images)`.

    Attributes:
        masked: The images with hidden patches in the mean colour.
        reconstruction: The model's prediction of all patches.
        pasted: The images with hidden patches replaced by the prediction.
        mask: 1 where a patch is hidden, 0 where it is seen; of shape
            `(batch, rows, columns)`.
        untrained: Whether the model's weights are initial values.
    """

    masked: np.ndarray
    reconstruction: np.ndarray
    pasted: np.ndarray
    mask: np.ndarray
    untrained: bool = False

    def __iter__(self):
        return iter((self.masked, self.reconstruction, self.pasted, self.mask))

    def plot(self, most: int | None = 16):
        """Draws the masked image, the reconstruction and both together, a row per image.

        Args:
            most: Number of images that are drawn, from the first; None for all.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.
        """
        columns = {name: GREY for name in ("masked", "reconstruction", "pasted")}
        drawn = [getattr(self, name)[:most] for name in columns]
        pictures = np.split(displayable(np.concatenate(drawn)), len(drawn))  # on one scale
        figure = draw_rows(None, list(zip(*pictures, strict=True)), columns)
        if self.untrained:
            mark_untrained(figure)
        return figure


@keras.saving.register_keras_serializable(package="keras_crate")
class CRATEMAE(OwnLoss, WhiteBoxModel):
    """CRATE-MAE: a masked autoencoder that learns from images without labels.

    Random patches are replaced by a learned token. The encoder, made of CRATE's
    blocks, compresses and sparsifies all tokens. The decoder, made of blocks
    that undo the encoder's in reverse order, predicts the pixels of every
    patch.

        encoder:  Z <- Z + MSSA(LN(Z))      block_i_norm_1, block_i_mssa, block_i_add
                  Z <- ISTA(LN(Z))          block_i_norm_2, block_i_ista
        decoder:  Y = LN(Z) D^T             decoder_block_i_norm_1, decoder_block_i_dictionary
                  Z <- Y - MSSA(LN(Y))      decoder_block_i_norm_2, decoder_block_i_mssa,
                                            decoder_block_i_subtract

    The model has its own loss, the mean squared error on hidden patches.
    `compile` takes no loss, and `fit` ignores labels. To measure the model or
    look into it, use its `encoder()`: the model itself hides other patches at
    each call.

    Args:
        dim, depth, heads: As in `CRATE`.
        mask_ratio: Share of the patches that are hidden, in (0, 1).
        norm_pix_loss: Whether the pixels to predict are normalised within each
            patch (unbiased variance + 1e-6).
        penalty: lambda of ISTA, >= 0; 0.5 in the authors' code.
        seed: Seed of the masks: the same seed gives the same masks on one
            backend. By default, Keras' global seed decides.
        others: As in `CRATE`, except for those of the head.

    Call arguments:
        inputs: Images of shape `(batch, *input_shape)`.

    Returns:
        A dictionary: `"patches"`, the predicted pixels `(batch, n, pixels of a
        patch)` in (row, column, channel) order, in the range of normalised
        images; `"mask"`, `(batch, n)`, 1 where a patch was hidden; `"latent"`,
        the encoder's tokens `(batch, 1 + registers + n, dim)`, class token first.

    Raises:
        ValueError: If an argument is out of range, two do not fit together, or
            the weights belong to another model.
        FileNotFoundError: If there is no such weights file.

    Example:

    ```python
    mae = keras_crate.CRATEMAE(dim=48, depth=2, heads=4, input_shape=(32, 32, 3), patch_size=8)
    mae.compile(optimizer="adamw")
    mae.fit(images)
    classifier = mae.encoder(include_top=True, classes=10)
    ```

    Reference:
        Pai et al., "Masked Completion via Structured Diffusion with White-Box
        Transformers", arXiv:2404.02446 (ICLR 2024).
    """

    @names_arguments
    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        *,
        mask_ratio: float = 0.75,
        norm_pix_loss: bool = False,
        step_size: float = 0.1,
        penalty: float = 0.5,
        input_shape: ImageShape | None = None,
        patch_size: int | tuple[int, int] = 16,
        include_preprocessing: bool = True,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        dropout_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale: float | None = None,
        registers: int = 0,
        input_tensor: InputTensor = None,
        data_format: str | None = None,
        dtype=None,
        name: str | None = None,
        weights: WeightsArgument = None,
        seed: int | None = None,
        rematerialise: bool = False,
    ):
        settings = Settings(**arguments_of(locals()))
        weights, dtype, name, before = taken_from(settings)
        with scope_as_setting(settings), weights_for(type(self), weights, settings) as opened:
            graph = Graph(settings, dtype, before, loads_weights=opened is not None)
            images, outputs = _graph(graph)
            super().__init__(images, outputs, settings=settings, graph=graph, name=name)
            if opened:
                opened.assign_to(self)
        if graph.quantization:
            self.quantize(graph.quantization)

    def fit(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        y = _labels(x, y, sample_weight)
        return super().fit(x, y, *args, sample_weight=sample_weight, **kwargs)

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        y = _labels(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean squared error on the hidden patches, mean over images; labels are ignored."""
        target = self._patches(x)
        if self.settings.norm_pix_loss:
            mean, deviation = _statistics(target)
            target = (target - mean) / deviation
        errors = ops.mean(ops.square(ops.subtract(y_pred["patches"], target)), axis=-1)
        mask = ops.cast(y_pred["mask"], errors.dtype)
        losses = ops.sum(errors * mask, axis=-1) / ops.sum(mask, axis=-1)
        if sample_weight is not None:
            losses = losses * ops.reshape(ops.cast(sample_weight, losses.dtype), (-1,))
        return share_of_replica(ops.mean(losses) + sum(self.losses))

    @names_arguments
    def reconstruct(
        self, images, noise=None, batch_size: int = 32, mask_ratio: float | None = None
    ) -> Reconstruction:
        """Hides patches of images and completes them.

        Args:
            images: Array of shape `(n, *input_shape)`.
            noise: Array `(n, patches)`: the patches with the largest numbers
                are hidden. By default, new random numbers at each call.
            batch_size: Images at a time.
            mask_ratio: Share of the patches that are hidden, in (0, 1). By default, the
                model's.

        Returns:
            A `Reconstruction` of float32 arrays with pixels in [0, 255], or in
            the range of normalised images if `include_preprocessing` is False.

        Raises:
            ValueError: If the model cannot take the images or the noise, or the ratio hides
                all patches or none.

        Example:

        ```python
        masked, reconstruction, pasted, mask = mae.reconstruct(images)
        ```
        """
        s = self.settings
        images = ops.convert_to_numpy(images).astype("float32")
        outputs = self.predict_with_noise(images, noise, batch_size, mask_ratio)
        target = ops.convert_to_numpy(self._patches(images))
        predicted, mask = (np.asarray(outputs[k], "float32") for k in ("patches", "mask"))
        if s.norm_pix_loss:
            mean, deviation = map(ops.convert_to_numpy, _statistics(target))
            predicted = predicted * deviation + mean
        hidden = mask[..., None] > 0
        rows, columns = self.get_layer("token_embedding").grid
        return Reconstruction(
            masked=self._images(np.where(hidden, np.float32(0), target)),
            reconstruction=self._images(predicted),
            pasted=self._images(np.where(hidden, predicted, target)),
            mask=mask.reshape(-1, rows, columns),
            untrained=is_untrained(self),
        )

    @names_arguments
    def predict_with_noise(
        self, images, noise=None, batch_size: int = 32, mask_ratio: float | None = None
    ) -> dict:
        """As `predict`, with a given mask.

        Args:
            images, noise, batch_size, mask_ratio: As in `reconstruct`.

        Returns:
            The model's outputs as NumPy arrays.

        Raises:
            ValueError: As `reconstruct`.
        """
        checks.check_images(images, self.settings.input_shape)
        if noise is None and mask_ratio is None:
            return self.predict(images, batch_size=batch_size, verbose=0)
        checks.check_values(images)  # as `predict`
        masking, patches = self.get_layer("patch_masking"), self.get_layer("patch_noise").input
        if mask_ratio is None:
            mask_ratio = masking.ratio
        _check_mask_ratio(mask_ratio, patches.shape[1])
        expected = (len(images), patches.shape[1])
        if noise is None:
            noise = self.get_layer("patch_noise")(np.zeros((*expected, 1), "float32"))
        noise = ops.convert_to_numpy(noise)
        if noise.shape != expected:
            raise ValueError(
                f"`noise` must have shape {expected}: a number for each patch of each image. "
                f"Received: shape {noise.shape}"
            )
        before, after = derived(self, [masking], lambda: self._around(masking))
        seen = before.predict(images, batch_size=batch_size, verbose=0)
        tokens, mask = masking.hide(ops.convert_to_tensor(seen), noise, mask_ratio)
        tokens, mask = map(ops.convert_to_numpy, (tokens, mask))
        return {
            **after.predict(tokens, batch_size=batch_size, verbose=0),
            "mask": mask,
        }

    def _around(self, masking) -> tuple[keras.Model, keras.Model]:
        """The models before and after the mask."""
        outputs = {name: self.output[name] for name in ("patches", "latent")}
        return keras.Model(self.input, masking.input[0]), keras.Model(masking.output[0], outputs)

    @names_arguments(options=[CRATEMAEEncoder])
    def encoder(self, include_top: bool = False, **options) -> "CRATEMAEEncoder":
        """Returns the encoder, for whole images, with a copy of this model's weights.

        Args:
            include_top: Whether the encoder gets a new classifier.
            **options: Other arguments of `CRATEMAEEncoder`: `pooling`,
                `classes`, `class_names`, `classifier_activation`, `dropout_rate`, ...

        Returns:
            A `CRATEMAEEncoder`, not compiled.

        Raises:
            ValueError: If an option does not fit the weights. For images of
                another size, call `with_input_shape` on the encoder.

        Example:

        ```python
        features = mae.encoder()(images)  # (2, dim), of the class token
        classifier = mae.encoder(include_top=True, classes=10)
        classifier.freeze_backbone()  # a linear probe; leave this out to fine-tune
        ```
        """
        fixed = ("dim", "depth", "heads", "patch_size", "input_shape", "data_format", "layer_scale")
        for name in options.keys() & set(fixed):
            raise ValueError(
                f"`{name}` is that of the trained model, and `encoder` cannot change it. "
                f"Received: {name}={options[name]!r}"
            )
        config = {k: v for k, v in self.get_config().items() if k not in _MASKED_ONLY}
        form = Form.taken_from(config)
        with built_as(form):
            encoder = CRATEMAEEncoder(**{**config, "include_top": include_top, **options})
        carry_weights(self, encoder)
        return encoder

    def _patches(self, images):
        """Cuts images into patches of normalised pixels, which the model predicts."""
        # In float32 at least: half precision has too few digits for errors and variances.
        dtype = keras.backend.result_type(self.dtype_policy.variable_dtype, "float32")
        images = ops.cast(images, dtype)
        if self.settings.include_preprocessing:
            scale, offset = (ops.convert_to_tensor(a, dtype) for a in rescaling_of(self.settings))
            images = images * scale + offset
        return cut_patches(images, self.settings.patch_size, self.settings.data_format)

    def _images(self, patches) -> np.ndarray:
        """The inverse of `_patches`."""
        s = self.settings
        grid = self.get_layer("token_embedding").grid
        images = join_patches(patches, grid, s.patch_size, s.data_format)
        images = ops.convert_to_numpy(images).astype("float32")
        if not s.include_preprocessing:
            return images
        scale, offset = (np.array(a, "float32") for a in rescaling_of(s))
        return np.clip((images - offset) / scale, 0, 255)


# Settings of a CRATEMAE that its encoder does not have.
_MASKED_ONLY = ("mask_ratio", "norm_pix_loss", "seed", "name")


def _graph(graph: Graph):
    """The images and the outputs of a masked autoencoder."""
    s = graph.settings
    if graph.before is not None and len(graph.before.layers) > 1:
        raise ValueError(
            "The `input_tensor` of a masked autoencoder must be a `keras.Input`, since its loss "
            "needs the images themselves. Received: the output of "
            f"{[layer.name for layer in graph.before.layers]}"
        )
    if graph.any_size:
        raise ValueError(
            "A masked autoencoder needs images of one size. Received: input_shape="
            f"{s.input_shape}. Its encoder can take any size: "
            "`mae.encoder().with_input_shape((None, None, 3))`."
        )
    parts = encoder_parts(s)
    images, patches = graph.stem(parts)
    _check_mask_ratio(s.mask_ratio, patches.shape[1])
    noise = graph.make(PatchNoise, "patch_noise", seed=s.seed)(patches)
    masking = graph.make(PatchMasking, "patch_masking", ratio=s.mask_ratio)
    patches, mask = masking(patches, noise)
    x = graph.blocks(graph.tokens(patches, **parts.tokens), parts)
    latent = x = graph.norm("encoder_norm", parts.norm_epsilon)(x)
    x = _decoder(graph, x, parts)
    height, width = s.patch_size
    pixels = height * width * s.input_shape[channels_axis(s.data_format)]
    if s.norm_pix_loss and pixels == 1:
        raise ValueError(
            "`norm_pix_loss` needs patches of more than one pixel. Received: "
            f"norm_pix_loss={s.norm_pix_loss}, patch_size={s.patch_size}"
        )
    x = graph.make(Dense, "decoder_prediction", units=pixels, **XAVIER)(x)
    in_full = {"activation": "linear", "dtype": graph.policy.variable_dtype}
    return images, {
        "patches": graph.make(keras.layers.Activation, "predictions", **in_full)(
            x[:, 1 + s.registers :]
        ),
        "mask": mask,
        "latent": graph.make(keras.layers.Activation, "latent", **in_full)(latent),
    }


def _decoder(graph: Graph, z, parts: Parts):
    """Adds the blocks that undo the encoder's, and a last normalisation."""
    s = graph.settings
    for i in range(s.depth):
        prefix = f"decoder_block_{i}_"
        y = graph.norm(prefix + "norm_1", parts.epsilon, folded=graph.form.fused)(z)
        # The kernel is D^T: a token is rebuilt from its code, row by row.
        y = graph.make(
            Dense,
            prefix + "dictionary",
            units=s.dim,
            use_bias=graph.form.fused,
            kernel_initializer="he_uniform",
        )(y)
        noise = graph.norm(prefix + "norm_2", parts.epsilon, folded=graph.form.fused)(y)
        compress = fused_operator(parts.compress, s.dim) if graph.form.fused else parts.compress
        noise = graph.copy(compress, prefix + "mssa")(noise)
        z = graph.make(keras.layers.Subtract, prefix + "subtract")([y, noise])
    return graph.norm("decoder_norm", parts.norm_epsilon, folded=graph.form.fused)(z)


def _statistics(patches):
    """Mean and standard deviation of each patch's pixels."""
    count = patches.shape[-1]
    mean = ops.mean(patches, axis=-1, keepdims=True)
    variance = ops.var(patches, axis=-1, keepdims=True) * (count / (count - 1))
    return mean, ops.sqrt(variance + 1e-6)


def _labels(x, y, sample_weight):
    """Adds unused labels if there are sample weights: Keras drops the weights without labels."""
    return np.zeros(len(x)) if y is None and sample_weight is not None else y


def _check_mask_ratio(ratio, patches: int) -> None:
    valid = is_number(ratio) and 0 < ratio < 1
    if not (valid and 1 <= int(patches * (1 - ratio)) < patches):
        raise ValueError(
            "`mask_ratio` must be in (0, 1), with at least one patch hidden and one visible. "
            f"Received: mask_ratio={ratio!r} with {patches} patches"
        )


@names_arguments
def CRATEMAETiny(
    weights: WeightsArgument = None,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 16,
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    name: str | None = "crate_mae_tiny",
    *,
    mask_ratio: float = 0.75,
    norm_pix_loss: bool = False,
    step_size: float = 0.1,
    penalty: float = 0.5,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    seed: int | None = None,
    rematerialise: bool = False,
) -> CRATEMAE:
    """CRATEMAETiny: width 384, 12 blocks, 6 heads, a masked autoencoder.

    11,331,840 parameters at patch 16, for 224x224x3 pixels.
    The arguments are those of `CRATEMAE`, without `dim`, `depth` and `heads`.
    """
    return CRATEMAE(dim=384, depth=12, heads=6, **locals())


@names_arguments
def CRATEMAESmall(
    weights: WeightsArgument = None,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 16,
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    name: str | None = "crate_mae_small",
    *,
    mask_ratio: float = 0.75,
    norm_pix_loss: bool = False,
    step_size: float = 0.1,
    penalty: float = 0.5,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    seed: int | None = None,
    rematerialise: bool = False,
) -> CRATEMAE:
    """CRATEMAESmall: width 576, 12 blocks, 12 heads, a masked autoencoder.

    24,960,000 parameters at patch 16, for 224x224x3 pixels.
    The arguments are those of `CRATEMAE`, without `dim`, `depth` and `heads`.
    """
    return CRATEMAE(dim=576, depth=12, heads=12, **locals())


@names_arguments
def CRATEMAEBase(
    weights: WeightsArgument = None,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 16,
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    name: str | None = "crate_mae_base",
    *,
    mask_ratio: float = 0.75,
    norm_pix_loss: bool = False,
    step_size: float = 0.1,
    penalty: float = 0.5,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    seed: int | None = None,
    rematerialise: bool = False,
) -> CRATEMAE:
    """CRATEMAEBase: width 768, 12 blocks, 12 heads, a masked autoencoder.

    43,896,576 parameters at patch 16, for 224x224x3 pixels.
    The arguments are those of `CRATEMAE`, without `dim`, `depth` and `heads`.
    """
    return CRATEMAE(dim=768, depth=12, heads=12, **locals())


@names_arguments
def CRATEMAELarge(
    weights: WeightsArgument = None,
    input_shape: ImageShape | None = None,
    patch_size: int | tuple[int, int] = 16,
    include_preprocessing: bool = True,
    dropout_rate: float = 0.0,
    name: str | None = "crate_mae_large",
    *,
    mask_ratio: float = 0.75,
    norm_pix_loss: bool = False,
    step_size: float = 0.1,
    penalty: float = 0.5,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    drop_path_rate: float = 0.0,
    layer_scale: float | None = None,
    registers: int = 0,
    input_tensor: InputTensor = None,
    data_format: str | None = None,
    dtype=None,
    seed: int | None = None,
    rematerialise: bool = False,
) -> CRATEMAE:
    """CRATEMAELarge: width 1024, 24 blocks, 16 heads, a masked autoencoder.

    153,023,232 parameters at patch 16, for 224x224x3 pixels.
    The arguments are those of `CRATEMAE`, without `dim`, `depth` and `heads`.
    """
    return CRATEMAE(dim=1024, depth=24, heads=16, **locals())
