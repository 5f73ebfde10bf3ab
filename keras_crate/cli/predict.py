"""`keras-crate predict`: what is in images, as a model sees it."""

import json

import numpy as np

from keras_crate.cli.model_file import add_model_to, report_broken


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="name what is in images",
        description="Prints the likeliest classes of each image, by name where the model knows "
        "names, with their probabilities. Files that are no images are named and left out, and "
        "the exit status is then 1.",
    )
    add_model_to(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders")
    parser.add_argument("--top", type=int, default=5, help="how many classes (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines of text")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.evaluation.evaluation import number_of_classes, outputs_of
    from keras_crate.hub.open_model import open_classifier
    from keras_crate.models.checks import check_positive

    top = check_positive("top", arguments.top)
    model, evaluation = open_classifier(arguments.model)
    classes = number_of_classes(model)
    images = evaluation.images(arguments.images, model, arguments.batch_size)
    names = getattr(model, "class_names", None) or [f"class {k}" for k in range(classes)]
    of_files = []
    for files, outputs in outputs_of(model, images):
        probabilities = _probabilities(model, outputs)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        for file, ranks, row in zip(files, order, probabilities, strict=True):
            found = [
                {"class": int(k), "name": names[k], "probability": round(float(row[k]), 6)}
                for k in ranks
            ]
            of_files.append({"file": str(file), "predictions": found})
            if not arguments.json:
                told = (f"{of['name']} {100 * of['probability']:.1f} %" for of in found)
                print(f"{file}: {', '.join(told)}")
    if arguments.json:
        left_out = {str(file): reason for file, reason in images.broken.items()}
        record = {"model": arguments.model, "images": of_files, "left_out": left_out}
        print(json.dumps(record, indent=1))
    return report_broken(images)


def _probabilities(model, outputs: np.ndarray) -> np.ndarray:
    """The outputs, if they are logits turned into probabilities."""
    import keras

    settings = getattr(model, "settings", None)
    if hasattr(settings, "classifier_activation"):
        activation = keras.activations.get(settings.classifier_activation)
        logits = activation is keras.activations.linear
    else:  # another model does not tell
        logits = outputs.min() < 0 or not np.allclose(outputs.sum(axis=1), 1, atol=1e-2)
    if not logits:
        return outputs
    exponentials = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
