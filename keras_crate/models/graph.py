"""The graph that all models share: stem, tokens and blocks, each written once."""

import dataclasses
import types

import keras
import numpy as np

from keras_crate.layers import CompositeLayer, LayerScale, PatchEmbedding, TokenEmbedding
from keras_crate.layers.composite import restored_settings
from keras_crate.layers.patch_embedding import as_pair
from keras_crate.models import checks
from keras_crate.models.operators import fused_operator, is_residual, operator_name

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Layers of a block beside its two operators.
BLOCK_LAYERS = (
    "norm_1", "norm_2", "add", "add_2",
    "layer_scale_1", "layer_scale_2", "drop_path_1", "drop_path_2",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parts:
    """What tells one family from another.

    Attributes:
        compress: The first operator of every block; copied, not used itself.
        sparsify: The second.
        epsilon: Of the blocks' normalisations.
        patches: Arguments of `PatchEmbedding`.
        tokens: Arguments of `TokenEmbedding`.
        norm_tokens: Whether all tokens are normalised after the last block
            (`encoder_norm`), instead of the pooled one before the classifier
            (`head_norm`).
        norm_epsilon: Of that last normalisation.
        head: Arguments of the classifier, a `Dense`.
    """

    compress: keras.layers.Layer
    sparsify: keras.layers.Layer
    epsilon: float = 1e-5
    patches: dict = dataclasses.field(default_factory=dict)
    tokens: dict = dataclasses.field(default_factory=dict)
    norm_tokens: bool = False
    norm_epsilon: float = 1e-5
    head: dict = dataclasses.field(default_factory=dict)


class Graph:
    """Adds a model's layers to a graph, in the model's dtype policy.

    Args:
        settings: The model's constructor arguments. Those that the graph needs
            are checked and brought into their normal form.
        dtype: Dtype or policy of the layers.
        layer_settings: What freezing, quantisation and LoRA changed, by layer
            name.
    """

    def __init__(self, settings: types.SimpleNamespace, dtype, layer_settings: dict | None):
        self.settings = settings
        self.policy = keras.dtype_policies.get(dtype)
        self.layer_settings = layer_settings or {}
        settings.dim = checks.check_positive("dim", settings.dim)
        settings.depth = checks.check_positive("depth", settings.depth)
        checks.check_heads(settings.dim, settings.heads)
        settings.heads = int(settings.heads)
        checks.check_rate("dropout_rate", settings.dropout_rate)
        checks.check_rate("drop_path_rate", settings.drop_path_rate)
        checks.check_layer_scale(settings.layer_scale)
        checks.check_rematerialise(settings.rematerialise, settings.dropout_rate)
        settings.data_format = settings.data_format or keras.config.image_data_format()
        settings.input_shape = checks.check_input_shape(settings.input_shape, settings.data_format)
        settings.patch_size = as_pair(settings.patch_size, "patch_size")
        given = settings.mean is not None or settings.std is not None
        if given and not settings.include_preprocessing:
            raise ValueError(
                "`mean` and `std` belong to the preprocessing. Received: "
                f"include_preprocessing=False, mean={settings.mean}, std={settings.std}"
            )
        for name in ("mean", "std"):  # as a configuration can hold them
            value = getattr(settings, name)
            setattr(settings, name, None if value is None else np.asarray(value, "f8").tolist())

    def make(self, layer_class, name: str, **arguments) -> keras.layers.Layer:
        """Makes a layer, as it was when the model was saved."""
        settings = restored_settings(self.layer_settings.get(name))
        return layer_class(name=name, **{"dtype": self.policy, **arguments, **settings})

    def stem(self, **patch_arguments):
        """From images to patches.

        Returns:
            The symbolic images, and the patches `(batch, n, d)`.
        """
        s = self.settings
        embedding = self.make(
            PatchEmbedding,
            "patch_embedding",
            dim=s.dim,
            patch_size=s.patch_size,
            data_format=s.data_format,
            folded_norm=s.fused,
            **patch_arguments,
        )
        embedding.compute_output_shape((None, *s.input_shape))  # refuses a bad size early
        self.grid = embedding.grid((None, *s.input_shape))
        images = keras.Input(s.input_shape, name="images", dtype=self.policy.variable_dtype)
        x = images
        # Folded into the patches' linear map, where that comes next; not in half
        # precision, where pixels would lose digits.
        exact = self.policy.compute_dtype in ("float32", "float64")
        folded = s.fused and exact and not embedding.use_norm
        if s.include_preprocessing and not folded:
            scale, offset = rescaling_of(s)
            x = self.make(
                keras.layers.Rescaling,
                "preprocessing",
                scale=scale,
                offset=offset,
                dtype=self.policy.variable_dtype,
            )(x)
        return images, embedding(x)

    def tokens(self, patches, **token_arguments):
        """Class token and positions."""
        x = self.make(TokenEmbedding, "token_embedding", grid=self.grid, **token_arguments)(patches)
        if self.settings.dropout_rate:
            x = self.make(keras.layers.Dropout, "token_dropout", rate=self.settings.dropout_rate)(x)
        return x

    def blocks(self, tokens, parts: Parts):
        """All blocks: `Z <- [Z +] compress(LN(Z))`, then `Z <- [Z +] sparsify(LN(Z))`."""
        z = tokens
        for i in range(self.settings.depth):
            for half, role in ((1, "compress"), (2, "sparsify")):
                z = self._half_step(z, i, half, role, parts)
        return z

    def _half_step(self, z, block, half, role, parts):
        def name(layer):
            return f"block_{block}_{layer}"

        s = self.settings
        prototype = getattr(parts, role)
        fused = fused_operator(prototype, s.dim) if s.fused else None
        y = self.norm(name(f"norm_{half}"), parts.epsilon, folded=fused is not None)(z)
        y = self.copy(fused or prototype, name(self._operator_name(role, parts)))(y)
        if y.shape != z.shape:
            raise ValueError(
                f"`{role}` must return tokens of the shape it is given, {z.shape}. Received: "
                f"{role}={prototype!r}, which returns {y.shape}"
            )
        if not is_residual(role, prototype):
            return y
        if s.layer_scale is not None:
            scale = {"initial_value": s.layer_scale}
            y = self.make(LayerScale, name(f"layer_scale_{half}"), **scale)(y)
        rate = s.drop_path_rate * block / max(1, s.depth - 1)  # deeper blocks more often
        if rate:
            # Drops the whole step of an image: that is stochastic depth.
            y = self.make(
                keras.layers.Dropout,
                name(f"drop_path_{half}"),
                rate=rate,
                noise_shape=(None, 1, 1),
            )(y)
        return self.make(keras.layers.Add, name("add" if half == 1 else "add_2"))([z, y])

    def norm(self, name: str, epsilon: float, folded: bool = False) -> keras.layers.Layer:
        """A layer normalisation; without scale and offset where the next map holds them."""
        affine = {"scale": not folded, "center": not folded}
        return self.make(keras.layers.LayerNormalization, name, epsilon=epsilon, **affine)

    @staticmethod
    def _operator_name(role, parts):
        names = [operator_name(layer) for layer in (parts.compress, parts.sparsify)]
        if names[0] == names[1] or set(names) & set(BLOCK_LAYERS):
            return role
        return names[0] if role == "compress" else names[1]

    def copy(self, prototype: keras.layers.Layer, name: str) -> keras.layers.Layer:
        """Makes a layer like another one."""
        config = {**prototype.get_config(), "dtype": self.policy, "name": name}
        if self.settings.rematerialise and isinstance(prototype, CompositeLayer):
            config["rematerialise"] = True
        config |= self.layer_settings.get(name) or {}
        return type(prototype).from_config(config)


def channels_axis(data_format: str) -> int:
    """Where an image shape without the batch has its channels."""
    return -1 if data_format == "channels_last" else 0


def rescaling_of(settings) -> tuple[list, list]:
    """`rescaling` of a model, by its settings."""
    axis = channels_axis(settings.data_format)
    return rescaling(settings.mean, settings.std, settings.input_shape[axis], axis)


def rescaling(mean, std, channels: int, channels_axis: int) -> tuple[list, list]:
    """Scale and offset that take pixels in [0, 255] to the model's range."""
    if (mean is None) != (std is None):
        raise ValueError(f"Give both `mean` and `std`, or none. Received: mean={mean}, std={std}")
    if mean is None:
        imagenet = channels == 3
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if imagenet else (0.5, 0.5)
    shape = [1, 1, 1]
    shape[channels_axis] = channels
    statistics = []
    for name, value in (("mean", mean), ("std", std)):
        value = np.asarray(value, "float64")
        if value.shape not in ((), (channels,)):
            raise ValueError(
                f"`{name}` must be a number or one for each of the {channels} channels, for "
                f"pixels in [0, 1]. Received: {name}={value.tolist()}"
            )
        statistics.append(np.broadcast_to(value, (channels,)).reshape(shape))
    mean, std = statistics
    if not (std > 0).all():
        raise ValueError(f"`std` must be above 0. Received: std={std.ravel().tolist()}")
    return (1 / (255 * std)).tolist(), (-mean / std).tolist()
