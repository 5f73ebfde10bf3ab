"""Labelled images in a folder that has one folder per class."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.checks import check_positive, did_you_mean
from keras_crate.data.image_files import find_files

VALIDATION_SPLITS = ("val", "validation", "valid")  # the first that exists is used


def labelled_files(
    folder: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    wordnet_ids: Sequence[str] | None = None,
) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Finds image files and their classes in a folder that has one folder per class.

    The folder of a class has the class's name or its WordNet identifier, such
    as `n01440764`. If it matches one class by name and another by identifier,
    the name decides. Some classes may have no folder.

    If no folder matches a class, and there are as many folders as classes, the
    folders are assumed to be the classes in alphabetical order (`"10"` before
    `"2"`). A warning says so, unless only the folder was passed.

    Each folder is searched recursively. Files beside the folders of classes, and folders
    whose name begins with a dot, are ignored.

    Returns:
        The files, sorted within each folder; the class of each file, int64; and
        the names of the folders, sorted.
    """
    folder = Path(folder)
    names = class_folders(folder)
    if not names:
        raise ValueError(
            f"`folder` must be a folder that has one folder per class. Received: {folder}, which "
            + ("has no folders" if os.path.isdir(folder) else "is not a folder")
        )
    numbers = _classes_of(names, class_names, classes, wordnet_ids)
    files, labels = [], []
    for name, label in zip(names, numbers, strict=True):
        found = find_files([folder / name])
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, "int64"), tuple(names)


def split_folders(folder: str | os.PathLike) -> tuple[Path, Path | None, Path | None]:
    """Returns the folders of the training, validation and test images in a folder.

    They are `train`; `val`, `validation` or `valid`; and `test`. A folder without
    `train`, or whose `train` is a class, holds training images only. A `test` without
    folders of classes, as of competitions, is ignored.
    """
    folder = Path(folder)
    if not class_folders(folder / "train"):
        return folder, None, None
    splits = (folder / name for name in VALIDATION_SPLITS)
    validation = next((split for split in splits if split.is_dir()), None)
    test = folder / "test" if class_folders(folder / "test") else None
    return folder / "train", validation, test


def class_folders(folder: Path) -> list[str]:
    """Returns the names of the folders in a folder, sorted; none if it does not exist."""
    inside = folder.iterdir() if os.path.isdir(folder) else ()
    return sorted(p.name for p in inside if p.is_dir() and not p.name.startswith("."))


def _classes_of(folders, class_names, classes, wordnet_ids) -> list[int]:
    """Returns the class of each folder."""
    if classes is not None:
        check_positive("classes", classes)
    known = {}
    for name, values in (("wordnet_ids", wordnet_ids), ("class_names", class_names)):
        if values is None:
            continue
        classes = len(values) if classes is None else classes
        if len(values) != classes:
            raise ValueError(
                f"`{name}` must have one entry for each of the {classes} classes. Received: "
                f"{len(values)} entries"
            )
        known |= {value: k for k, value in enumerate(values)}
    for folder in folders:
        if list(class_names or ()).count(folder) > 1:  # such as "crane" in ImageNet
            raise ValueError(
                f"The folder {folder!r} must match one class, but `class_names` has that name "
                "more than once. Make the names differ, or use WordNet identifiers."
            )
    unknown = [folder for folder in folders if folder not in known]
    if not unknown:
        return [known[folder] for folder in folders]
    if len(unknown) < len(folders) or len(folders) != (classes or len(folders)):
        raise ValueError(
            "Each folder must have the name or the WordNet identifier of one of the "
            f"{classes} classes, or there must be one folder for each class. Received: "
            f"{len(folders)} folders, of which {len(unknown)} match no class, such as "
            f"{unknown[0]!r}{did_you_mean(unknown[0], known)}"
        )
    if classes is not None:
        warnings.warn(
            f"No folder has the name of a class: the {classes} folders are assumed to be the "
            f"classes in alphabetical order, {folders[0]!r} for class 0.",
            stacklevel=3,
        )
    return list(range(len(folders)))
