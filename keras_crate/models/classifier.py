"""Classifiers: the head, and the options that every family's constructor takes."""

import os
import types

import keras

from keras_crate.layers import TokenPooling
from keras_crate.layers.initializers import linear_initializers
from keras_crate.models import checks
from keras_crate.models.class_names import resolve_class_names
from keras_crate.models.graph import Graph, Parts
from keras_crate.models.weights_source import find_weights
from keras_crate.models.white_box import WhiteBoxModel


class Classifier(WhiteBoxModel):
    """Base of the classifiers. A family brings its signature and its `parts`.

    The graph's layers are `images`, `preprocessing`, `patch_embedding`,
    `token_embedding`, the blocks', `pooling`, `head_norm`, `head` and
    `predictions`, which gives probabilities in the dtype of the variables:
    float32 under a mixed policy.

    Args:
        dim, depth, heads: As in `CRATE`, which documents the options too.
        **family: Further constructor arguments of the family.
    """

    def __init__(
        self,
        *,
        dim,
        depth,
        heads,
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
        drop_path_rate: float = 0.0,
        layer_scale: float | None = None,
        class_names=None,
        data_format: str | None = None,
        dtype=None,
        name: str | None = None,
        weights: str | os.PathLike | None = None,
        rematerialise: bool = False,
        fused: bool = False,
        layer_settings: dict | None = None,
        **family,
    ):
        checks.check_known(type(self), family)
        checks.check_pooling(pooling, include_top)
        checks.check_activation(classifier_activation)
        classes = checks.check_positive("classes", classes)
        settings = types.SimpleNamespace(
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
            mean=mean,
            std=std,
            dropout_rate=dropout_rate,
            drop_path_rate=drop_path_rate,
            layer_scale=layer_scale,
            class_names=resolve_class_names(class_names, classes),
            data_format=data_format,
            rematerialise=rematerialise,
            fused=fused,
            **family,
        )
        checks.check_not_fused(fused, weights)
        source = None if weights is None else find_weights(weights, type(self), settings)
        if source is not None:
            source.fill(settings)
        for setting, value in self.unset.items():
            if getattr(settings, setting) is None:
                setattr(settings, setting, value)
        graph = Graph(settings, dtype, layer_settings)
        parts = self.parts(settings)
        images, patches = graph.stem(**parts.patches)
        x = graph.blocks(graph.tokens(patches, **parts.tokens), parts)
        if parts.norm_tokens:
            x = graph.norm("encoder_norm", parts.norm_epsilon)(x)
        if pooling is not None:
            x = graph.make(TokenPooling, "pooling", mode=pooling)(x)
        if include_top:
            if not parts.norm_tokens:
                x = graph.norm("head_norm", parts.norm_epsilon, folded=fused)(x)
            head = {**linear_initializers(settings.dim), **parts.head}
            x = graph.make(keras.layers.Dense, "head", units=classes, **head)(x)
            x = graph.make(
                keras.layers.Activation,
                "predictions",
                activation=classifier_activation or "linear",
                dtype=graph.policy.variable_dtype,
            )(x)
        super().__init__(images, x, settings=settings, policy=graph.policy, name=name)
        if source is not None:
            source.load(self)

    # What a family's arguments are where neither the user nor the weights say.
    unset = types.MappingProxyType({})

    @staticmethod
    def parts(settings) -> Parts:
        """The family's operators and what else tells it from others.

        Args:
            settings: Namespace of the constructor's arguments.
        """
        raise NotImplementedError

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs, or None."""
        return self.settings.class_names

    @class_names.setter
    def class_names(self, names):
        self.settings.class_names = resolve_class_names(names, self.settings.classes)

    def get_config(self) -> dict:
        activation = keras.activations.get(self.settings.classifier_activation)
        return {
            **super().get_config(),
            "classifier_activation": keras.activations.serialize(activation),
        }
