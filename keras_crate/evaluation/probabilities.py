"""The likeliest classes of images, with probabilities."""

import keras
import numpy as np

from keras_crate.evaluation.classes import number_of_classes


def likeliest(model: keras.Model, outputs: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the likeliest classes of each image and their probabilities, `(batch, top)`."""
    probabilities = _probabilities(model, outputs)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return order, np.take_along_axis(probabilities, order, axis=1)


def class_names_or_numbers(model: keras.Model) -> list[str]:
    """Returns the names of a classifier's classes, or `class 0` and so on."""
    names = getattr(model, "class_names", None)
    return list(names or (f"class {k}" for k in range(number_of_classes(model))))


def _probabilities(model: keras.Model, outputs: np.ndarray) -> np.ndarray:
    """Returns probabilities. Outputs that are probabilities already are not changed."""
    settings = getattr(model, "settings", None)
    if hasattr(settings, "classifier_activation"):
        activation = keras.activations.get(settings.classifier_activation)
        logits = activation is keras.activations.linear
    else:  # unknown for a model that is not of this package
        logits = outputs.min() < 0 or not np.allclose(outputs.sum(axis=1), 1, atol=1e-2)
    return keras.ops.convert_to_numpy(keras.ops.softmax(outputs)) if logits else outputs
