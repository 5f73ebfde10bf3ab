"""The graph that all models share: stem, tokens and blocks."""

import dataclasses

import keras

from keras_crate.layers import CompositeLayer, LayerScale, PatchEmbedding, TokenEmbedding
from keras_crate.layers.composite import restored_settings
from keras_crate.layers.stem import Stem
from keras_crate.models.operators import fused_operator, is_residual, operator_name
from keras_crate.models.settings import Settings, checked, current_form, rescaling_of

# Layers of a block besides its two operators.
BLOCK_LAYERS = (
    "norm_1", "norm_2", "add", "add_2",
    "layer_scale_1", "layer_scale_2", "drop_path_1", "drop_path_2",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Parts:
    """What distinguishes one family from another."""

    compress: keras.layers.Layer  # the first operator of every block, which gets a copy
    sparsify: keras.layers.Layer  # the second one
    epsilon: float = 1e-5  # of the blocks' normalisations
    stem: type[Stem] = PatchEmbedding  # from images to patches
    patches: dict = dataclasses.field(default_factory=dict)
    tokens: dict = dataclasses.field(default_factory=dict)
    # Whether the last normalisation is one of all tokens (`encoder_norm`), not of the pooled
    # features (`head_norm`).
    norm_tokens: bool = False
    norm_epsilon: float = 1e-5  # of the last normalisation
    head: dict = dataclasses.field(default_factory=dict)


class Graph:
    """Adds a model's layers to a graph, in the model's dtype policy."""

    def __init__(
        self,
        settings: Settings,
        dtype,
        before: keras.Model | None = None,
        loads_weights: bool = False,  # so that initial values of operators need not be drawn
    ):
        checked(settings)
        self.before, self.loads_weights = before, loads_weights
        self.settings = settings
        self.policy = keras.dtype_policies.get(dtype)
        # Layers of a quantised policy would start as zeros. Instead, the finished model is
        # quantised.
        self.quantization = getattr(self.policy, "quantization_mode", None)
        if self.quantization:
            self.policy = keras.dtype_policies.get(self.policy.name.partition("_from_")[2])
        self.form = current_form()

    @property
    def any_size(self) -> bool:
        """Whether the model takes images of any size."""
        return None in self.settings.input_shape

    def make(self, layer_class, name: str, **arguments) -> keras.layers.Layer:
        """Makes a layer, with the settings that were saved for it, if any."""
        settings = restored_settings(self.form.layer_settings.get(name))
        return layer_class(name=name, **{"dtype": self.policy, **arguments, **settings})

    def stem(self, parts: Parts):
        """Adds the layers from images to patches `(batch, n, d)`; of any size, to a map of them."""
        s = self.settings
        embedding = self.make(
            parts.stem,
            "patch_embedding",
            dim=s.dim,
            patch_size=s.patch_size,
            data_format=s.data_format,
            folded_norm=self.form.fused,
            as_map=self.any_size,
            **parts.patches,
        )
        embedding.compute_output_shape((None, *s.input_shape))  # refuses a bad size early
        self.grid = embedding.grid((None, *s.input_shape))
        if self.any_size:
            self.grid = tuple(s.grid or (max(1, 224 // side) for side in s.patch_size))
        s.grid = self.grid if self.any_size else None
        if self.before is None:
            images = keras.Input(s.input_shape, name="images", dtype=self.policy.variable_dtype)
            x = images
        else:
            (images,), (x,) = self.before.inputs, self.before.outputs
        # A fused model folds the normalisation of pixels into the linear map, if that comes
        # next. In half precision, pixels would lose digits. Convolutions see zeros around the
        # image, which would need another offset.
        exact = self.policy.compute_dtype in ("float32", "float64")
        linear = isinstance(embedding, PatchEmbedding) and not embedding.use_norm
        folded = self.form.fused and exact and linear
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
        """Adds class token, registers and positions."""
        s = self.settings
        own = {"grid": self.grid, "registers": s.registers}
        x = self.make(TokenEmbedding, "token_embedding", **own, **token_arguments)(patches)
        if s.dropout_rate:
            x = self.make(keras.layers.Dropout, "token_dropout", rate=s.dropout_rate)(x)
        return x

    def blocks(self, tokens, parts: Parts):
        """Adds all blocks: `Z <- [Z +] compress(LN(Z))`, then `Z <- [Z +] sparsify(LN(Z))`."""
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
        fused = fused_operator(prototype, s.dim) if self.form.fused else None
        y = self.norm(name(f"norm_{half}"), parts.epsilon, folded=fused is not None)(z)
        y = self.copy(fused or prototype, name(self._operator_name(role, parts)))(y)
        if y.shape != z.shape:
            raise ValueError(
                f"`{role}` must return tokens of its input's shape, {z.shape}. Received: "
                f"{role}={prototype!r}, which returns {y.shape}"
            )
        if not is_residual(role, prototype):
            return y
        if s.layer_scale is not None:
            scale = {"initial_value": s.layer_scale}
            y = self.make(LayerScale, name(f"layer_scale_{half}"), **scale)(y)
        rate = s.drop_path_rate * block / max(1, s.depth - 1)  # higher in deeper blocks
        if rate:
            # Stochastic depth: drops the operator's output for an image as a whole.
            y = self.make(
                keras.layers.Dropout,
                name(f"drop_path_{half}"),
                rate=rate,
                noise_shape=(None, 1, 1),
            )(y)
        return self.make(keras.layers.Add, name("add" if half == 1 else "add_2"))([z, y])

    def norm(self, name: str, epsilon: float, folded: bool = False) -> keras.layers.Layer:
        """Makes a normalisation, without scale and offset if they are folded into the next map."""
        affine = {"scale": not folded, "center": not folded}
        return self.make(keras.layers.LayerNormalization, name, epsilon=epsilon, **affine)

    @staticmethod
    def _operator_name(role, parts):
        names = [operator_name(layer) for layer in (parts.compress, parts.sparsify)]
        if names[0] == names[1] or set(names) & set(BLOCK_LAYERS):
            return role
        return names[0] if role == "compress" else names[1]

    def copy(self, prototype: keras.layers.Layer, name: str) -> keras.layers.Layer:
        """Makes a copy of a layer, with initial weights."""
        # Serialised, since Keras can then save layers without a `get_config` of their own.
        dtype = keras.dtype_policies.serialize(self.policy)
        config = {**prototype.get_config(), "dtype": dtype, "name": name}
        if self.settings.rematerialise and isinstance(prototype, CompositeLayer):
            config["rematerialise"] = True
        if "grid" in config:  # an operator that needs to know where the patches are
            if self.any_size:
                raise ValueError(
                    f"{type(prototype).__name__} needs images of one size. Received: input_shape="
                    f"{self.settings.input_shape}. Make the model for one size, and copies for "
                    "other sizes with `model.with_input_shape(...)`."
                )
            config["grid"] = self.grid
        if "registers" in config:
            config["registers"] = self.settings.registers
        config |= self.form.layer_settings.get(name) or {}
        layer = type(prototype).from_config(config)
        if isinstance(layer, CompositeLayer):
            layer._draws_initial_values = not self.loads_weights
        return layer
