"""Writes the files that make a published model a preset of KerasHub, without KerasHub."""

import json
from pathlib import Path

import keras

from keras_crate.evaluation import Evaluation
from keras_crate.models.classifier import Classifier
from keras_crate.models.published_names import PACKAGE, STEMS, published_class, published_config
from keras_crate.reading import read_json

TASK_FILE, TASK_WEIGHTS_FILE = "task.json", "task.weights.h5"
PREPROCESSOR_FILE, CONVERTER_FILE = "preprocessor.json", "image_converter.json"
KERAS_HUB_FILES = (TASK_FILE, TASK_WEIGHTS_FILE, PREPROCESSOR_FILE, CONVERTER_FILE)
_CONFIG_FILE = "config.json"
_MODULE = "keras_crate.keras_hub"


def is_preset(model: keras.Model) -> bool:
    """Whether `write_preset` can make a model a preset of KerasHub."""
    quantised = any(layer.quantization_mode for layer in model.layers)
    return published_class(model) is not None and not quantised


def write_preset(model: Classifier, folder: Path) -> list[str]:
    """Makes the folder of a saved model a preset of KerasHub. Returns the names of new files.

    KerasHub reads the backbone from `config.json` and `model.weights.h5`, as plain
    Keras does. It reads the head from the files that this function adds.
    """
    stem = STEMS[published_class(model)]
    config = published_config(model, read_json(folder / _CONFIG_FILE))
    (folder / _CONFIG_FILE).write_text(json.dumps(config), "utf8")
    converter = _serialized(f"{stem}ImageConverter", _resizing(model))
    preprocessor = _serialized(f"{stem}ImageClassifierPreprocessor", {"image_converter": converter})
    contents = {CONVERTER_FILE: converter, PREPROCESSOR_FILE: preprocessor}
    weights = []
    if model.settings.include_top:
        task = {
            "backbone": _serialized(f"{stem}Backbone", config["config"]),
            "preprocessor": preprocessor,
            "name": model.name,
            "num_classes": model.settings.classes,
            "pooling": model.settings.pooling,
            "activation": config["config"]["classifier_activation"],
        }
        contents[TASK_FILE] = _serialized(f"{stem}ImageClassifier", task)
        tokens = model.get_layer("pooling").input
        head = keras.Model(tokens, model.output)
        # KerasHub compiles its tasks. Without an optimizer in the file, loading would warn.
        head.compile(keras.optimizers.Adam(5e-5))
        head.save_weights(folder / TASK_WEIGHTS_FILE)
        weights = [TASK_WEIGHTS_FILE]
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=1), "utf8")
    return [*contents, *weights]


def _serialized(name: str, config: dict) -> dict:
    """An object of `keras_crate.keras_hub` in the form that Keras gives it in files."""
    return {
        "module": _MODULE,
        "class_name": name,
        "config": config,
        "registered_name": f"{PACKAGE}>{name}",
    }


def _resizing(model: Classifier) -> dict:
    """Arguments of the image converter. The model itself normalises pixels."""
    evaluation = Evaluation.for_model(model)
    return {
        "image_size": list(evaluation.size),
        # A centre crop after resizing is not among the converter's options.
        "crop_to_aspect_ratio": not isinstance(evaluation.resize, tuple),
        # The converter has no "area". Antialiasing averages pixels, too.
        "interpolation": evaluation.interpolation.replace("area", "bilinear"),
        "antialias": True,
        "data_format": model.settings.data_format,
    }
