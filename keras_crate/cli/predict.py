"""Prints the likeliest classes of each image with their probabilities. Broken files are named and
left out, and the exit status is then 1."""

import json

import keras
import numpy as np

from keras_crate.checks import check_positive
from keras_crate.cli.arguments import add_images, add_model, add_preparation
from keras_crate.cli.model_and_images import prepared, report_broken
from keras_crate.evaluation.accuracy import outputs_of
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.hub.open_model import open_classifier


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    add_model(parser)
    add_images(parser)
    add_preparation(parser)
    parser.add_argument("--top", type=int, default=5, help="number of classes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines of text")


def run(arguments) -> int:
    """Runs the command."""
    top = check_positive("top", arguments.top)
    model, evaluation = open_classifier(arguments.model)
    classes = number_of_classes(model)
    used = prepared(arguments, model, evaluation)
    images = used.images(arguments.images, model, arguments.batch_size)
    names = getattr(model, "class_names", None) or [f"class {k}" for k in range(classes)]
    record = {"model": arguments.model, "evaluation": used.to_dict(), "images": []}
    for batch in images:
        probabilities = _probabilities(model, outputs_of(model, batch))
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for file, ranks, row in zip(images.read[-len(batch) :], order, probabilities, strict=True):
            found = [
                {"class": int(k), "name": names[k], "probability": round(float(row[k]), 6)}
                for k in ranks
            ]
            record["images"].append({"file": str(file), "predictions": found})
            if not arguments.json:
                words = (f"{of['name']} {100 * of['probability']:.1f} %" for of in found)
                print(f"{file}: {', '.join(words)}")
    record["left_out"] = report_broken(images)
    if arguments.json:
        print(json.dumps(record, indent=1))
    return int(bool(record["left_out"]))


def _probabilities(model, outputs: np.ndarray) -> np.ndarray:
    """Returns probabilities. Outputs that are probabilities already are not changed."""
    settings = getattr(model, "settings", None)
    if hasattr(settings, "classifier_activation"):
        activation = keras.activations.get(settings.classifier_activation)
        logits = activation is keras.activations.linear
    else:  # unknown for a model that is not of this package
        logits = outputs.min() < 0 or not np.allclose(outputs.sum(axis=1), 1, atol=1e-2)
    return keras.ops.convert_to_numpy(keras.ops.softmax(outputs)) if logits else outputs
