"""Batches that the user prepared, with tf.data, PyTorch, Keras or grain."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.recipe import WHOLE, Recipe

# What changes training images in a recipe, and its values for no change.
_NO_CHANGE = {
    "crop_area": None, "flip": False, "rand_augment": None, "random_erasing": 0.0, "mixup": 0.0,
    "cutmix": 0.0,
}  # fmt: skip
_KINDS = {
    ("tensorflow", "DatasetV2"): "tf.data.Dataset",
    ("torch", "DataLoader"): "DataLoader",
    ("grain", "MapDataset"): "grain.MapDataset",
}


def kind_of(data) -> str | None:
    """Names the kind of prepared batches that `data` is, or returns None.

    No framework is imported for it.
    """
    if isinstance(data, keras.utils.PyDataset):
        return "PyDataset"
    names = ((base.__module__.split(".")[0], base.__name__) for base in type(data).__mro__)
    return next((_KINDS[name] for name in names if name in _KINDS), None)


def are_prepared(data) -> bool:
    """Whether `data` is prepared batches, or a pair of them."""
    parts = data if isinstance(data, (tuple, list)) else [data]
    return any(kind_of(part) for part in parts)


@dataclasses.dataclass(frozen=True)
class PreparedBatches:
    """Training and validation batches that are used as they are."""

    train: Any
    validation: Any  # batches, a pair (images, labels), or None
    class_names: tuple[str, ...] | None
    classes: int
    size: tuple[int, int]  # of the images
    batch_size: int  # of the first batch
    steps: int
    source: str  # their kind, such as `"DataLoader"`

    def recipe(self, recipe: Recipe, parts: int = 1) -> tuple[Recipe, list[str]]:
        """Returns the recipe without what these batches replace, and what it did to images.

        `parts` processes have batches of their own.
        """
        left_out = [name for name, none in _NO_CHANGE.items() if getattr(recipe, name) != none]
        size = self.batch_size * parts * recipe.accumulate  # a batch is one step
        changes = {"image_size": None, "batch_size": size, "evaluation_crop": WHOLE}
        if self.steps % recipe.accumulate:
            raise ValueError(
                f"The number of batches must be a multiple of accumulate={recipe.accumulate}. "
                f"Received: {self.steps} batches. Leave {self.steps % recipe.accumulate} out."
            )
        return recipe.with_changes(**_NO_CHANGE, **changes), left_out


def open_prepared(
    data, validation, class_names: Sequence[str] | None, model: keras.Model
) -> PreparedBatches:
    """Opens prepared batches for a model, and checks the first one."""
    if kind_of(data) is None:
        data, validation = _pair(data, validation)
    kind = kind_of(data)
    steps = _number(data, kind)
    images, labels = _first(data, kind)
    _check_images(images, model)
    names = class_names or getattr(data, "class_names", None)
    names = names or getattr(getattr(data, "dataset", None), "classes", None)
    names = tuple(names) if names else None
    classes = _classes(labels, names, model)
    return PreparedBatches(
        data, validation, names, classes, images.shape[1:3], len(images), steps, kind
    )


def _pair(data, validation) -> tuple:
    if len(data) != 2 or kind_of(data[0]) is None or validation is not None:
        raise ValueError(
            "`data` must be prepared batches, or a pair (training, validation) of them without "
            f"`validation`. Received: {', '.join(type(part).__name__ for part in data)}"
        )
    return tuple(data)


def _number(data, kind: str) -> int:
    """The number of batches."""
    try:
        number = int(data.cardinality()) if kind == "tf.data.Dataset" else len(data)
    except TypeError:  # of an iterable data set, or of an endless PyDataset
        number = -1
    if not 1 <= number < sys.maxsize:  # as grain counts endless batches
        raise ValueError(
            f"The {kind} must have one batch or more, and know their number: the learning rate "
            "depends on it.\nGive it a length, such as by "
            "`tf.data.experimental.assert_cardinality(n)`."
        )
    return number


def _first(data, kind: str) -> tuple[np.ndarray, np.ndarray]:
    batch = data[0] if kind == "PyDataset" else next(iter(data))
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise ValueError(
            f"A batch must be (images, labels), or with weights. Received: a {type(batch).__name__}"
        )
    return tuple(map(keras.ops.convert_to_numpy, batch[:2]))


def _check_images(images: np.ndarray, model: keras.Model) -> None:
    channels = model.input_shape[-1]
    if images.ndim != 4 or images.shape[-1] != channels:
        raise ValueError(
            f"The batches must hold images (n, height, width, {channels}), channels last. "
            f"Received: {images.shape}"
        )
    takes_pixels = getattr(getattr(model, "settings", None), "include_preprocessing", False)
    if takes_pixels and not (images.min() >= 0 and 1 < images.max() <= 255):
        raise ValueError(
            "Pixels must be in [0, 255], neither rescaled nor normalised: the model does it. "
            f"Received: pixels from {images.min():.3g} to {images.max():.3g}"
        )


def _classes(labels: np.ndarray, names: tuple | None, model: keras.Model) -> int:
    """The number of classes, by the labels, the names or the model."""
    if labels.ndim == 2 and labels.shape[1] > 1:  # one-hot
        classes = labels.shape[1]
        if names and len(names) != classes:
            raise ValueError(
                f"There must be {classes} class names, one a column of the labels. Received: "
                f"{len(names)}"
            )
        return classes
    if names:
        classes = len(names)
    elif isinstance(model, WhiteBoxModel) and not getattr(model.settings, "include_top", False):
        raise ValueError("`class_names` must be given, as the labels are integers.")
    else:
        classes = model.output_shape[-1]
    if not (labels.size and labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"Labels must be from 0 to {classes - 1}. Received: labels from {labels.min()} to "
            f"{labels.max()}. Pass `class_names` for a new head."
        )
    return classes


def _check_divided(what: str, batches, parts: int) -> None:
    """Refuses batches that replicas do not divide, before the first step."""
    kind = kind_of(batches)
    sizes = _sizes(batches, kind)
    if any(size is None or size % parts for size in sizes):
        known = f" of {' and '.join(map(str, sizes))} images" if None not in sizes else ""
        raise ValueError(
            f"Each {what} batch must have an equal number of images for each of {parts} replicas."
            f"\nReceived: batches{known} of {kind or 'arrays'}. Leave some images out. "
            "A tf.data.Dataset needs\nbatch(..., drop_remainder=True), and a DataLoader "
            "drop_last=True."
        )


def _sizes(batches, kind: str | None) -> list[int | None]:
    """The numbers of images in the first and the last batch, or in all. None is unknown."""
    if kind == "tf.data.Dataset":
        shape = batches.element_spec[0].shape
        return [shape[0] if shape.rank else None]
    if kind == "DataLoader":
        return [batches.batch_size if batches.drop_last else None]
    if kind is None:  # arrays, of which Keras makes batches of 32
        rows = len(batches[0])
        return [rows] if rows <= 32 else [32, rows % 32]
    return [len(batches[k][0]) for k in (0, len(batches) - 1)]


class PreparedInput:
    """Prepared batches as the training batches of a run; like `TrainingInput`.

    With several processes, each prepares its own part of every batch.

    Args:
        data: The batches.
        recipe, options: How to train.
        parts: Replicas of this process, which divide each batch.
    """

    def __init__(self, data: PreparedBatches, recipe: Recipe, options, parts: int = 1):
        for name, unset in (("augment", None), ("pipeline", "auto")):
            if getattr(options, name) != unset:
                raise ValueError(
                    f"`{name}` is for images that the run reads. Received: {name} with a "
                    f"{data.source}, whose batches are used as they are."
                )
        if parts > 1:
            _check_divided("training", data.train, parts)
            if data.validation is not None:
                _check_divided("validation", data.validation, parts)
        self.data, self.options, self.pipeline = data, options, data.source
        self.batch_size, self.steps = recipe.batch_size, data.steps
        self.images_per_epoch = self.steps // recipe.accumulate * self.batch_size
        self.for_fit = data.train
        # `fit` shuffles the order of a PyDataset's batches by default, and of no other's.
        self.shuffle = data.source == "PyDataset"

    def begin(self, epoch: int) -> None:
        """Notes the first epoch. Which batches it has is the user's."""
        self.first_epoch = epoch

    def of_epoch(self, epoch: int):
        """Goes over the batches again, as arrays."""
        is_indexed = self.data.source == "PyDataset"
        batches = (self.for_fit[k] for k in range(self.steps)) if is_indexed else self.for_fit
        for batch in batches:
            yield tuple(map(keras.ops.convert_to_numpy, batch))

    def name_broken_file(self, error: Exception) -> None:
        """Does nothing: the files are the user's."""

    def about(self) -> dict:
        """The facts of the batches for run.json."""
        return {"batches": self.steps}

    def summary(self) -> str:
        """The batches in a few words."""
        validation = "with" if self.data.validation is not None else "without"
        return (
            f"{self.steps:,} training batches of {self.data.batch_size} images of "
            f"{self.data.classes} classes, {validation} validation: {self.data.source}"
        )
