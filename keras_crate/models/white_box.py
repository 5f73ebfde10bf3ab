"""What every classifier of the package shares: stem, head, checks, weights."""

import types
import warnings

import keras
import numpy as np

from keras_crate.layers import PatchEmbedding, TokenEmbedding, TokenPooling
from keras_crate.layers.composite import changed_settings, restored_settings
from keras_crate.layers.initializers import linear_initializers
from keras_crate.layers.patch_embedding import as_pair
from keras_crate.models import checks
from keras_crate.models.class_names import resolve_class_names

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HEAD_LAYERS = ("head_norm", "head")  # those with weights


class WhiteBoxModel(keras.Model):
    """Base of the classifiers. A subclass brings its blocks and its signature.

    The graph's layers are `images`, `preprocessing`, `patch_embedding`,
    `token_embedding`, the blocks', `pooling`, `head_norm`, `head` and
    `predictions`, which gives probabilities in the dtype of the variables:
    float32 under a mixed policy.

    Args:
        dim, input_shape, patch_size, classes, include_top, pooling,
        classifier_activation, include_preprocessing, mean, std, dropout_rate,
        class_names, data_format, dtype, name: As in `CRATE`.
        layer_settings: What freezing, quantisation and LoRA changed, by layer
            name, as `get_config` wrote it. Not meant to be passed by hand.
        **block_arguments: What `add_blocks` takes.
    """

    def __init__(
        self,
        *,
        dim,
        input_shape,
        patch_size,
        classes,
        include_top,
        pooling,
        classifier_activation,
        include_preprocessing,
        mean,
        std,
        dropout_rate,
        class_names,
        data_format,
        dtype,
        name,
        layer_settings=None,
        **block_arguments,
    ):
        dim = checks.check_positive("dim", dim)
        classes = checks.check_positive("classes", classes)
        checks.check_pooling(pooling, include_top)
        checks.check_activation(classifier_activation)
        checks.check_dropout(dropout_rate)
        data_format = data_format or keras.config.image_data_format()
        input_shape = checks.check_input_shape(input_shape, data_format)
        channels_axis = -1 if data_format == "channels_last" else 0
        class_names = resolve_class_names(class_names, classes)
        if not include_preprocessing and (mean is not None or std is not None):
            raise ValueError(
                "`mean` and `std` belong to the preprocessing. Received: "
                f"include_preprocessing=False, mean={mean}, std={std}"
            )
        policy = keras.dtype_policies.get(dtype)
        layer_settings = layer_settings or {}

        def make(layer_class, name, **arguments):
            settings = restored_settings(layer_settings.get(name))
            return layer_class(name=name, **{"dtype": policy, **arguments, **settings})

        patches = make(
            PatchEmbedding,
            "patch_embedding",
            dim=dim,
            patch_size=as_pair(patch_size, "patch_size"),
            data_format=data_format,
        )
        positions = make(TokenEmbedding, "token_embedding", grid=patches.grid((None, *input_shape)))
        patches.compute_output_shape((None, *input_shape))  # refuses a bad size early

        images = keras.Input(input_shape, name="images", dtype=policy.variable_dtype)
        x = images
        if include_preprocessing:
            scale, offset = _rescaling(mean, std, input_shape[channels_axis], channels_axis)
            # Not in half precision, where pixels would lose digits.
            x = make(
                keras.layers.Rescaling,
                "preprocessing",
                scale=scale,
                offset=offset,
                dtype=policy.variable_dtype,
            )(x)
        x = positions(patches(x))
        if dropout_rate:
            x = make(keras.layers.Dropout, "token_dropout", rate=dropout_rate)(x)
        x = self.add_blocks(x, make, dropout_rate=dropout_rate, **block_arguments)
        if pooling is not None:
            x = make(TokenPooling, "pooling", mode=pooling)(x)
        if include_top:
            x = make(keras.layers.LayerNormalization, "head_norm", epsilon=1e-5)(x)
            x = make(keras.layers.Dense, "head", units=classes, **linear_initializers(dim))(x)
            x = make(
                keras.layers.Activation,
                "predictions",
                activation=classifier_activation or "linear",
                dtype=policy.variable_dtype,
            )(x)
        super().__init__(inputs=images, outputs=x, name=name)

        self.dtype_policy = policy  # float16 trains with scaled losses by it
        # A namespace, since Keras would track and rewrap a dict.
        self.settings = types.SimpleNamespace(
            dim=dim,
            input_shape=input_shape,
            patch_size=patches.patch_size,
            classes=classes,
            include_top=include_top,
            pooling=pooling,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            mean=None if mean is None else np.asarray(mean, "float64").tolist(),
            std=None if std is None else np.asarray(std, "float64").tolist(),
            dropout_rate=dropout_rate,
            class_names=class_names,
            data_format=data_format,
            **block_arguments,
        )

    @staticmethod
    def add_blocks(tokens, make, **arguments):
        """Adds the blocks to the graph and returns the last tokens.

        Args:
            tokens: Symbolic tokens of shape `(batch, n + 1, d)`.
            make: `make(layer_class, name, **arguments)` makes a layer with the
                model's dtype policy; every layer is to be made by it.
            **arguments: `dropout_rate` and the subclass's block arguments.
        """
        raise NotImplementedError

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs, or None."""
        return self.settings.class_names

    @class_names.setter
    def class_names(self, names):
        self.settings.class_names = resolve_class_names(names, self.settings.classes)

    def __call__(self, inputs, *args, **kwargs):
        checks.check_images(inputs, self.settings.input_shape)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None, **kwargs):
        # JAX's compiled steps come here without passing through __call__.
        checks.check_images(inputs, self.settings.input_shape)
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        _refuse_nan(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        _refuse_nan(x)
        results = super().evaluate(x, *args, **kwargs)
        values = keras.tree.flatten(results)  # a metric may be a vector
        if any(np.isnan(np.asarray(value, "float64")).any() for value in values):
            warnings.warn(
                "`evaluate` found a loss or metric that is NaN: images have pixels that are NaN or "
                "infinite, or the model's weights are. Pass the images as an array to learn which.",
                stacklevel=2,
            )
        return results

    def with_input_shape(self, input_shape: tuple[int, int, int]) -> "WhiteBoxModel":
        """The same model for images of another size.

        All weights are copied; the table of positions is resized (bicubic).

        Args:
            input_shape: Image shape without the batch, of as many channels.

        Returns:
            A new model, not compiled. This one stays as it is.

        Raises:
            ValueError: If the shape does not suit the patches or the channels.

        Example:

        ```python
        larger = keras_crate.CRATEBase().with_input_shape((384, 384, 3))
        ```
        """
        config = {**self.get_config(), "input_shape": input_shape}
        axis = -1 if self.settings.data_format == "channels_last" else 0
        input_shape = checks.check_input_shape(input_shape, self.settings.data_format)
        if input_shape[axis] != self.settings.input_shape[axis]:
            raise ValueError(
                "`input_shape` must have as many channels as the model. Received: "
                f"input_shape={input_shape}; the model has {self.settings.input_shape[axis]}."
            )
        model = type(self).from_config(config)
        for layer, source in zip(model.layers, self.layers, strict=True):
            if isinstance(layer, TokenEmbedding):
                layer.assign(source.class_token, source.positions, source.grid)
            else:
                layer.set_weights(source.get_weights())
        return model

    def enable_lora(self, rank: int) -> None:
        """Gives low-rank adapters to every block's linear maps; freezes the rest.

        The projections and output maps of MSSA and the dictionaries of ISTA
        are adapted; their biases and the head stay trainable. Saving merges
        the adapters into the weights. Compile the model afterwards.

        Args:
            rank: Rank of the adapters, 1 or more.

        Example:

        ```python
        model = keras_crate.CRATEBase(classes=10)
        model.enable_lora(8)
        model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
        ```

        Reference:
            Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
            arXiv:2106.09685.
        """
        checks.check_positive("rank", rank)
        for layer in self.layers:
            in_block = layer.name.startswith("block_")
            if layer.name in HEAD_LAYERS:
                continue
            for part in layer._flatten_layers():
                if in_block and isinstance(part, keras.layers.Dense):
                    part.enable_lora(rank)
                elif part.weights and not list(part._flatten_layers(include_self=False)):
                    part.trainable = False

    def get_config(self) -> dict:
        settings = {layer.name: changed_settings(layer) for layer in self.layers}
        settings = {name: changed for name, changed in settings.items() if changed}
        activation = keras.activations.get(self.settings.classifier_activation)
        return {
            **vars(self.settings),
            "classifier_activation": keras.activations.serialize(activation),
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            **({"layer_settings": settings} if settings else {}),
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None) -> "WhiteBoxModel":
        return cls(**config)


def _rescaling(mean, std, channels: int, channels_axis: int) -> tuple[list, list]:
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


def _refuse_nan(x) -> None:
    # Data sets and loaders are left alone: reading them ahead would consume them.
    if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
        checks.check_finite(x)
