"""KerasHub's task of image classification, for the models of the package."""

import copy
import functools
from pathlib import Path

import keras
from keras_hub.models import ImageClassifier, Task

from keras_crate.files import write_json, written_whole
from keras_crate.keras_internals import check_before_quantize, parts_of
from keras_crate.layers.composite import changed_settings
from keras_crate.models import checks
from keras_crate.models.classifier import Classifier, pooled_and_classified
from keras_crate.models.graph import Graph
from keras_crate.models.published_names import published_class, published_config
from keras_crate.models.rebuild import carry_weights
from keras_crate.models.settings import Form, built_as


class HubImageClassifier(ImageClassifier):
    """Base of the tasks. A subclass names its backbone and its preprocessor."""

    def __init__(
        self,
        backbone,
        num_classes: int | None = None,
        preprocessor=None,
        pooling: str = "token",
        activation="softmax",
        head_settings: dict | None = None,  # of a quantised head, from `get_config`
        **kwargs,
    ):
        if num_classes is None:
            raise ValueError("`num_classes` must be given, since the preset has no classifier.")
        self.backbone = backbone
        self.preprocessor = preprocessor
        _fit(preprocessor, backbone)
        settings = copy.copy(backbone.settings)
        settings.include_top = True
        settings.classes = num_classes
        settings.pooling = pooling
        settings.classifier_activation = activation
        form = Form(fused=settings.fused, layer_settings={"head": head_settings})
        with built_as(form):
            graph = Graph(settings, backbone.dtype_policy)
        tokens = backbone(backbone.input)
        outputs = pooled_and_classified(graph, backbone.parts(settings), tokens)
        # `ImageClassifier` would add a head of its own.
        Task.__init__(self, inputs=backbone.input, outputs=outputs, **kwargs)
        self.num_classes = num_classes
        self.pooling = pooling
        self.activation = activation
        check_before_quantize(self, functools.partial(checks.check_quantization, self))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of the outputs, or None if they are not known."""
        settings = self.backbone.settings
        return settings.class_names if settings.classes == self.num_classes else None

    def get_config(self) -> dict:
        activation = keras.activations.get(self.activation)
        head_settings = changed_settings(self.get_layer("head"))
        return {
            **Task.get_config(self),
            "num_classes": self.num_classes,
            "pooling": self.pooling,
            "activation": keras.activations.serialize(activation),
            **({"head_settings": head_settings} if head_settings else {}),
        }

    def without_hub(self) -> Classifier:
        """Returns the same classifier as a model of the package, with a copy of the weights."""
        config = self.backbone.get_config()
        config |= {
            "name": self.name,
            "class_names": self.class_names,
            "include_top": True,
            "pooling": self.pooling,
            "classes": self.num_classes,
            "classifier_activation": self.activation,
            "layer_settings": {
                **config.get("layer_settings", {}),
                "head": changed_settings(self.get_layer("head")),
            },
        }
        model = published_class(self.backbone).from_config(config)
        carry_weights(self.backbone, model)
        carry_weights(self, model)
        return model

    def save_to_preset(self, preset_dir, max_shard_size=10) -> None:
        """Saves the task to a folder that plain Keras and `keras_crate.hub.pull` can also load.

        Args:
            preset_dir: The folder.
            max_shard_size: Largest size of a file in GB; None for one file. Only
                KerasHub reads models in several files.
        """
        super().save_to_preset(preset_dir, max_shard_size)
        folder = Path(preset_dir)
        if (folder / "model.weights.h5").exists():  # with the backbone alone
            whole = self.without_hub()
            config = keras.saving.serialize_keras_object(whole)
            write_json(folder / "config.json", published_config(whole, config))
            with written_whole(folder / "model.weights.h5") as unfinished:
                whole.save_weights(unfinished)


def _fit(preprocessor, backbone) -> None:
    """Makes the preprocessor resize images to the backbone's size, which may be a new one."""
    if isinstance(preprocessor, keras.Layer):
        for part in parts_of(preprocessor):  # they have no weights
            part.built = True  # `quantize` refuses layers that are not built
    converter = getattr(preprocessor, "image_converter", None)
    if converter is None or converter.image_size is None:
        return
    first = backbone.data_format == "channels_first"
    converter.image_size = tuple(backbone.image_shape[1:] if first else backbone.image_shape[:2])
