"""The classes of a classifier."""

import keras

from keras_crate.checks import is_positive_integer
from keras_crate.models.class_names import imagenet_classes


def number_of_classes(model: keras.Model) -> int:
    """Returns the number of classes of a classifier."""
    shape = getattr(model, "output_shape", None)
    features = getattr(getattr(model, "settings", None), "include_top", True) is False
    is_matrix = isinstance(shape, (tuple, list)) and len(shape) == 2 and shape[0] is None
    if features or not is_matrix or not is_positive_integer(shape[1]):
        received = "features, without a head" if features else f"outputs of shape {shape}"
        raise ValueError(
            "The model must be a classifier, with outputs of shape (batch, classes). Received: a "
            f"model with {received}. Make it with `include_top=True`, or a masked autoencoder "
            "with `encoder(include_top=True, classes=...)`."
        )
    return shape[1]


def classes_of(model: keras.Model) -> dict:
    """Returns the classes of a classifier, for matching data with them.

    Returns:
        Keyword arguments of `open_data` and `labelled_files`: `class_names`
        (or None), `classes`, and `wordnet_ids`, which is None unless the
        classes are ImageNet's. 1,000 classes without names are assumed to be
        ImageNet's.
    """
    classes = number_of_classes(model)
    names = getattr(model, "class_names", None)
    identifiers, imagenet = zip(*imagenet_classes(), strict=True)
    is_imagenet = classes == len(imagenet) and (names is None or tuple(names) == imagenet)
    return {
        "class_names": names,
        "classes": classes,
        "wordnet_ids": identifiers if is_imagenet else None,
    }
