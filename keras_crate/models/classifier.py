"""The base of the classifiers: the head, and loading weights into a new model."""

import contextlib
from collections.abc import Iterator, Sequence

import keras

from keras_crate.checks import as_pair, check_count, check_positive, names_arguments
from keras_crate.keras_internals import parts_of
from keras_crate.layers import TokenPooling
from keras_crate.layers.dense import Dense
from keras_crate.layers.initializers import linear_initializers
from keras_crate.models import checks
from keras_crate.models.class_names import resolve_class_names
from keras_crate.models.graph import Graph, Parts
from keras_crate.models.input_tensor import model_before, shape_after
from keras_crate.models.rebuild import adapted
from keras_crate.models.settings import Settings, arguments_of, channels_axis, scope_as_setting
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.assign import HEAD_LAYERS, Weights, open_weights
from keras_crate.weights.find import find
from keras_crate.weights.variants import OPERATORS, Architecture


class Classifier(WhiteBoxModel):
    """Base of the classifiers. A subclass passes its constructor's `locals()`, and has `parts`.

    The graph's layers are `images`, `preprocessing`, `patch_embedding`,
    `token_embedding`, those of the blocks, `pooling`, `head_norm`, `head` and
    `predictions`. The last one returns probabilities in the dtype of the variables,
    which is float32 under a mixed policy.
    """

    def __init__(self, arguments: dict):
        settings = Settings(**arguments_of(arguments))
        weights, dtype, name, before = taken_from(settings)
        checks.check_pooling(settings.pooling, settings.include_top)
        checks.check_activation(settings.classifier_activation)
        settings.classes = check_positive("classes", settings.classes)
        settings.class_names = resolve_class_names(settings.class_names, settings.classes)
        with scope_as_setting(settings), weights_for(type(self), weights, settings) as opened:
            graph = Graph(settings, dtype, before, loads_weights=opened is not None)
            parts = self.parts(settings)
            images, patches = graph.stem(parts)
            x = graph.blocks(graph.tokens(patches, **parts.tokens), parts)
            if parts.norm_tokens:
                x = graph.norm("encoder_norm", parts.norm_epsilon)(x)
            x = pooled_and_classified(graph, parts, x)
            super().__init__(images, x, settings=settings, graph=graph, name=name)
            if opened:
                opened.assign_to(self)
        if graph.quantization:
            self.quantize(graph.quantization)

    @staticmethod
    def parts(settings: Settings) -> Parts:
        """Returns the parts of the family's models, such as their operators."""
        raise NotImplementedError

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs, or None."""
        return self.settings.class_names

    @class_names.setter
    def class_names(self, names):
        self.settings.class_names = resolve_class_names(names, self.settings.classes)

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 without a head, as in timm."""
        return self.settings.classes if self.settings.include_top else 0

    def get_classifier(self) -> keras.layers.Dense | None:
        """Returns the layer `head`, the linear classifier, or None without a head."""
        return self.get_layer("head") if self.settings.include_top else None

    @names_arguments
    def reset_classifier(
        self, classes: int, class_names: Sequence[str] | str | None = None
    ) -> "Classifier":
        """Returns the same model with a new linear classifier, or without a head.

        All other weights are copied, also those of `head_norm`. Unlike timm's method
        of this name, it returns a new model, since the graph of a functional
        model is fixed.

        Args:
            classes: Number of classes, or 0 for a model without a head
                (`include_top=False`).
            class_names: One name for each class.

        Returns:
            A new model, not compiled. The layer `head` has initial values.

        Raises:
            ValueError: If an argument is out of range, or if the model is fused.

        Example:

        ```python
        model = keras_crate.CRATETiny().reset_classifier(10)
        model.freeze_backbone()
        ```
        """
        if check_count("classes", classes) == 0:
            return adapted(self, include_top=False, class_names=None)
        if self.settings.fused:
            raise ValueError(
                "A fused model cannot get a new head, since its head contains a normalisation. "
                "Call `reset_classifier` on the original model, train it, and then fuse it."
            )
        pooling = self.settings.pooling or "token"
        head = {"include_top": True, "classes": classes, "class_names": class_names}
        return adapted(self, pooling=pooling, **head)

    def freeze_backbone(self) -> None:
        """Freezes all layers but the head, `head_norm` and `head`.

        Compile the model afterwards.

        Raises:
            ValueError: If the model has no head (`include_top=False`).

        Example:

        ```python
        model = keras_crate.CRATETiny(classes=10)
        model.freeze_backbone()
        model.compile(optimizer="adamw", loss="sparse_categorical_crossentropy")
        ```
        """
        if not self.settings.include_top:
            raise ValueError(
                "`freeze_backbone` needs a model with a head. Received: a model with "
                "include_top=False, of which nothing would be trained."
            )
        for layer in self.layers:
            layer.trainable = layer.name in HEAD_LAYERS

    def unfreeze(self) -> None:
        """Makes all layers trainable, also those that `freeze_backbone` or `enable_lora` froze.

        Weights that are never trained, such as fixed positions, stay fixed.
        Compile the model afterwards.
        """
        for layer in self.layers:
            for part in parts_of(layer):  # `layer.trainable` does not reach all of them
                part.trainable = True

    def get_config(self) -> dict:
        activation = keras.activations.get(self.settings.classifier_activation)
        return {
            **super().get_config(),
            "classifier_activation": keras.activations.serialize(activation),
        }


def taken_from(settings: Settings) -> tuple:
    """Takes `weights`, `dtype`, `name` and `input_tensor` out of a model's settings.

    Returns them, the last one as the model before it. The image shape is then that of
    `input_tensor`.
    """
    arguments = [vars(settings).pop(k) for k in ("weights", "dtype", "name", "input_tensor")]
    before = model_before(arguments.pop())
    if before is not None:
        settings.input_shape = shape_after(before, settings.input_shape)
    elif settings.input_shape is None:
        settings.input_shape = (224, 224, 3)  # `check_input_shape` puts channels first if asked
    return (*arguments, before)


@contextlib.contextmanager
def weights_for(model_class: type, weights, settings: Settings) -> Iterator[Weights | None]:
    """Opens the weights that `weights=` names, if any, and fills in the settings that are None."""
    if weights is None:
        yield None
        return
    models = (c for c in model_class.__mro__ if c.__module__.startswith("keras_crate.models"))
    family = next(models).__name__
    with open_weights(find(weights, _architecture(family, settings))) as opened:
        if opened.family not in (None, family):
            raise ValueError(
                f"The weights in {opened.origin} belong to another model, a {opened.family}. "
                f"This model is a {family}."
            )
        _check_channels(settings, opened)
        _fill_in(settings, opened)
        yield opened


def _architecture(family: str, settings: Settings) -> Architecture | None:
    """Returns the architecture that weights must have; None for a user's own operators."""
    s = settings
    operators = tuple(getattr(s, name) for name in OPERATORS) if family == "CRATE" else ()
    if not all(isinstance(operator, str) for operator in operators):
        return None
    patch = as_pair(s.patch_size, "patch_size")
    return Architecture(family, s.dim, s.depth, s.heads, patch, operators)


def _check_channels(settings: Settings, opened: Weights) -> None:
    data_format = settings.data_format or keras.config.image_data_format()
    shape = checks.check_input_shape(settings.input_shape, data_format)
    found = opened.channels(as_pair(settings.patch_size, "patch_size"))
    own = shape[channels_axis(data_format)]
    if found not in (None, own):
        raise ValueError(
            f"The weights in {opened.origin} are for images with {found} channels. This model's "
            f"images have {own}.\nMake the model for {found} channels with these weights, and then "
            f'call `model.with_input_shape({shape}, channels="average")`, or "repeat".'
        )


def _fill_in(settings: Settings, opened: Weights) -> None:
    brought = dict(opened.settings)
    if not settings.include_preprocessing:
        brought = {k: v for k, v in brought.items() if k not in ("mean", "std")}
    names = brought.pop("class_names", None)
    if getattr(settings, "include_top", False) and settings.classes == opened.classes:
        brought["class_names"] = resolve_class_names(names, settings.classes)
    for name, value in brought.items():
        if getattr(settings, name, value) is None:
            setattr(settings, name, value)


def pooled_and_classified(graph: Graph, parts: Parts, x):
    """Adds what follows the tokens: pooling, normalisation, linear classifier and activation."""
    s = graph.settings
    if s.pooling is not None:
        x = graph.make(TokenPooling, "pooling", mode=s.pooling, registers=s.registers)(x)
    if not s.include_top:
        return x
    if not parts.norm_tokens:
        x = graph.norm("head_norm", parts.norm_epsilon, folded=graph.form.fused)(x)
    head = {**linear_initializers(s.dim), **parts.head}
    x = graph.make(Dense, "head", units=s.classes, **head)(x)
    return graph.make(
        keras.layers.Activation,
        "predictions",
        activation=s.classifier_activation or "linear",
        dtype=graph.policy.variable_dtype,
    )(x)
