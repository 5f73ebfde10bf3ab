"""A folder of labelled images, as a classifier takes them."""

import os
from pathlib import Path

import keras

from keras_crate.data.class_folders import labelled_files
from keras_crate.data.image_files import ImageFiles
from keras_crate.evaluation.evaluation import Evaluation, number_of_classes
from keras_crate.models.class_names import imagenet_classes


def labelled_images(
    model: keras.Model, evaluation: Evaluation, folder: str | os.PathLike, batch_size: int = 32
) -> tuple[ImageFiles, dict[Path, int], tuple[str, ...]]:
    """The images of a folder with one folder a class, and their classes.

    A folder bears the name of its class or, for a model of ImageNet's classes,
    its WordNet identifier; see `keras_crate.data.class_folders`.

    Args:
        model: A classifier.
        evaluation: How images are prepared for it.
        folder: The folder.
        batch_size: Images at a time.

    Returns:
        The images as the model takes them, the class of each file, and the
        names of the classes' folders.

    Raises:
        ValueError: If the model is no classifier, or the folder does not suit it.

    Example:

    ```python
    images, labels, folders = labelled_images(model, evaluation, "pets")
    ```
    """
    classes = number_of_classes(model)
    names = getattr(model, "class_names", None)
    files, labels, folders = labelled_files(folder, names, classes, wordnet_ids_of(names, classes))
    images = evaluation.images(files, model, batch_size)
    return images, dict(zip(files, labels.tolist(), strict=True)), folders


def wordnet_ids_of(names, classes: int) -> list[str] | None:
    """ImageNet's WordNet identifiers, for a model of its classes; otherwise None.

    Args:
        names: Names of the model's classes, or None.
        classes: How many.
    """
    imagenet = imagenet_classes()
    are_its = names is None or tuple(names) == tuple(name for _, name in imagenet)
    return [identifier for identifier, _ in imagenet] if are_its and classes == 1000 else None
