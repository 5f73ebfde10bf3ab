"""Batches of a folder of labelled images, prepared for a classifier."""

import os
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.data.class_folders import labelled_files, split_folders
from keras_crate.data.image_sources import SPLITS, split_to_measure
from keras_crate.evaluation.classes import classes_of
from keras_crate.evaluation.preparation import Evaluation
from keras_crate.evaluation.real_labels import real_labels


class LabelledFolder:
    """Batches (images, labels) of a folder with one folder for each class.

    The folder of a class has the class's name or, for a model of ImageNet's
    classes, its WordNet identifier. If no folder has such a name, and there are as many
    folders as classes, they are assumed to be the classes in alphabetical order.
    Broken files are left out.

    Args:
        folder: The folder, or one that has it: `test`, or `val`, `validation` or
            `valid`, beside `train`.
        model: A classifier.
        evaluation: How images are prepared for it.
        batch_size: Images at a time.
        real: The file of ReaL's labels (`real.json`), for ImageNet's
            validation images. The labels are the third part of each batch.
        split: Which images of a folder with `train` are used, `"validation"` or
            `"test"`. By default, the test images if there are some.

    Attributes:
        folder: The folder with one folder for each class.
        split: `"validation"` or `"test"`, or None for a folder without `train`.
        images: A `keras_crate.data.ImageFiles`. After an iteration,
            `images.broken` has the reason for each file that was left out.
        labels: The class of each file by its path.

    Raises:
        ValueError: If the model is not a classifier, the folders or ReaL's
            labels are not for its classes, or no file can be read.
    """

    @names_arguments
    def __init__(
        self,
        folder: str | os.PathLike,
        model: keras.Model,
        evaluation: Evaluation,
        batch_size: int = 32,
        real: str | os.PathLike | None = None,
        split: str | None = None,
    ):
        classes = classes_of(model)
        if real is not None and classes["wordnet_ids"] is None:
            raise ValueError("ReaL's labels need a model of ImageNet's 1,000 classes.")
        self.folder, self.split = _measured(Path(folder), split)
        files, labels, _ = labelled_files(self.folder, **classes)
        self.images = evaluation.images(files, model, batch_size)
        self.labels = dict(zip(files, labels.tolist(), strict=True))
        self._real = dict(zip(files, real_labels(real, files), strict=True)) if real else None

    def __len__(self) -> int:
        """Number of batches, if no file is broken."""
        return len(self.images)

    def __iter__(self) -> Iterator[tuple]:
        for batch in self.images:
            files = self.images.read[-len(batch) :]
            labels = np.array([self.labels[file] for file in files])
            yield (batch, labels, [self._real[f] for f in files]) if self._real else (batch, labels)
        if not self.images.read:
            file, reason = next(iter(self.images.broken.items()))
            raise ValueError(
                f"None of the {len(self.labels)} files could be read. The first, {file}: {reason}"
            )


def _measured(folder: Path, split: str | None) -> tuple[Path, str | None]:
    """Returns the folder of the images to measure on, and their split."""
    training, *others = split_folders(folder)
    found = {name: part for name, part in zip(SPLITS, others, strict=True) if part is not None}
    if split is None and training == folder:
        return folder, None
    split = split_to_measure(found, split)
    if split not in found:
        raise ValueError(
            f"{folder} has training images in {training.name} and no folder of {split} images. "
            f"To measure on all images of a folder, give that folder, such as {training}."
        )
    return found[split], split
