"""Names of classes, and predictions by name."""

import functools
import importlib.resources
import re
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """WordNet identifier and name of ImageNet-1K's classes, in the order of the logits."""
    text = importlib.resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(tuple(line.split("\t")) for line in lines)


def resolve_class_names(class_names, classes: int | None) -> tuple[str, ...] | None:
    """Returns class names as a tuple, ImageNet-1K's for `"imagenet"`; `classes` may be None."""
    if class_names is None:
        return None
    if isinstance(class_names, str) and class_names == "imagenet":
        class_names = [name for _, name in imagenet_classes()]
    # A set has no order. A dictionary may have numbers of its own for the names.
    unordered = isinstance(class_names, (str, bytes, set, frozenset, Mapping))
    if unordered or not isinstance(class_names, Iterable):
        raise ValueError(
            "`class_names` must be a sequence of names in the order of the classes, or "
            f'"imagenet". Received: class_names={class_names!r}'
        )
    names = tuple(str(name) for name in class_names)
    controlling = [name for name in names if _CONTROL.search(name)]
    if controlling:  # a terminal would obey a stranger's file
        raise ValueError(
            "`class_names` must have no control characters, such as line breaks. Received: "
            f"{controlling[0][:40]!r}"
        )
    if classes is not None and len(names) != classes:
        raise ValueError(
            "`class_names` must have one name for each class. Received: "
            f"{len(names)} names for classes={classes}"
        )
    return names


@names_arguments
def decode_predictions(
    probabilities, model_or_names, top: int = 5
) -> list[list[tuple[str, float]]]:
    """Returns the likeliest classes of each image by name.

    Args:
        probabilities: Array of shape `(batch, classes)`, as `model.predict`
            returns it. With logits, the order is the same, and the result has
            logits in place of probabilities.
        model_or_names: A model with `class_names`, a sequence of names, or
            `"imagenet"` for ImageNet-1K's 1,000.
        top: Number of classes for each image, 1 or more.

    Returns:
        For each image a list of `(name, probability)`, likeliest first.

    Raises:
        ValueError: If the model has no class names, or there are not as many
            names as columns.

    Example:

    ```python
    model = keras_crate.CRATETiny(classes=2, class_names=["cat", "dog"])
    keras_crate.decode_predictions(model.predict(images), model, top=1)
    ```
    """
    probabilities = keras.ops.convert_to_numpy(probabilities)
    if probabilities.ndim != 2:
        raise ValueError(
            "`probabilities` must have shape (batch, classes). "
            f"Received: shape {probabilities.shape}"
        )
    check_positive("top", top)
    names = model_or_names
    if isinstance(model_or_names, keras.Model):
        names = getattr(model_or_names, "class_names", None)
        if names is None:
            raise ValueError(
                "The model has no class names. Pass them to its constructor as `class_names=`, "
                "or pass them to this function in place of the model. "
                '"imagenet" stands for the names of ImageNet-1K.'
            )
    names = resolve_class_names(names, probabilities.shape[1])
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
    return [
        [(names[k], float(row[k])) for k in ranks]
        for row, ranks in zip(probabilities, order, strict=True)
    ]
