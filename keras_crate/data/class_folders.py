"""Labelled images from a folder with one folder a class."""

import difflib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.data.image_files import EXTENSIONS, find_files

_SHOWN = 8  # folders that an error names


def labelled_files(
    folder: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    wordnet_ids: Sequence[str] | None = None,
) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Image files and their classes, from a folder with one folder a class.

    A folder stands for the class whose name it bears, or else whose WordNet
    identifier, such as `n01440764`, it bears. Some folders of many classes are
    enough. Where none bears either, and there are as many as classes, they
    stand for the classes in the order of their names (`"10"` before `"2"`),
    which is a guess and is warned of if anything was given to match them with.

    Args:
        folder: The folder with the classes' folders, which are searched through
            with those in them. Files beside them belong to no class and are
            passed over, and so are folders whose name begins with a dot.
        class_names: Names of the classes in the order of a model's outputs, or
            None.
        classes: Number of classes, or None for as many as there are names or,
            without any, folders.
        wordnet_ids: WordNet identifiers of the classes in the same order, or
            None.

    Returns:
        The files, folder by folder in the order of their names; the class of
        each as an int64 array; and the folders' names in their order.

    Raises:
        ValueError: If there is no such folder, one has no images, or one
            stands for no class or for several.

    Example:

    ```python
    files, labels, folders = labelled_files("pets", class_names=["cat", "dog"])
    images = keras_crate.data.ImageFiles(files, (224, 224, 3))
    ```
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"`folder` must be a folder with one folder a class. Received: {folder}")
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not inside:
        loose = sum(p.suffix.lower() in EXTENSIONS for p in folder.iterdir())
        raise ValueError(
            f"The folder {folder} must have one folder a class, with its images. Received: a "
            f"folder with no folders and {loose} images in it."
        )
    matches = _classes_of([p.name for p in inside], class_names, classes, wordnet_ids)
    files, labels = [], []
    for path, label in zip(inside, matches, strict=True):
        found = find_files([path])
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, "int64"), tuple(p.name for p in inside)


def _classes_of(folders, class_names, classes, wordnet_ids) -> list[int]:
    """The class of each folder."""
    is_integer = isinstance(classes, (int, np.integer)) and not isinstance(classes, bool)
    if classes is not None and not (is_integer and classes >= 1):
        raise ValueError(f"`classes` must be a positive integer. Received: classes={classes!r}")
    lists = {"class_names": class_names, "wordnet_ids": wordnet_ids}
    given = {name: list(values) for name, values in lists.items() if values is not None}
    for name, values in given.items():
        if isinstance(lists[name], str):
            raise ValueError(f"`{name}` must be a sequence. Received: {name}={lists[name]!r}")
        if classes is None:
            classes = len(values)
        elif len(values) != classes:
            raise ValueError(
                f"`{name}` must have one entry a class. Received: {len(values)} of them for "
                f"{classes} classes"
            )
    matches = [_match(folder, given) for folder in folders]
    if None not in matches:
        return matches
    if any(match is not None for match in matches) or len(folders) != (classes or len(folders)):
        unknown = [f for f, match in zip(folders, matches, strict=True) if match is None]
        raise ValueError(_unmatched(unknown, len(folders), given, classes))
    if classes is not None:
        warnings.warn(
            f"No folder bears the name of a class: the {classes} folders are taken for the "
            f"classes in the order of their names, {folders[0]!r} for class 0.",
            stacklevel=3,
        )
    return list(range(len(folders)))


def _match(folder: str, given: dict) -> int | None:
    for name, values in given.items():
        if values.count(folder) > 1:
            where = [k for k, value in enumerate(values) if value == folder]
            raise ValueError(
                f"The folder {folder!r} must stand for one class, and `{name}` has that entry for "
                f"classes {', '.join(map(str, where))}. Make the names differ."
            )
        if folder in values:
            return values.index(folder)
    return None


def _unmatched(unknown: list[str], number: int, given: dict, classes: int) -> str:
    """What is wrong with folders that match no class, and which class may be meant."""
    known = [value for values in given.values() for value in values]
    told = []
    for folder in unknown[:_SHOWN]:
        nearest = difflib.get_close_matches(folder, known, n=3, cutoff=0.4)
        told.append(folder + (f" (nearest: {', '.join(nearest)})" if nearest else ""))
    if len(unknown) > _SHOWN:
        told.append(f"and {len(unknown) - _SHOWN} more")
    told = ", ".join(told)
    if not given:
        return (
            f"There must be one folder for each of the {classes} classes, in the order of their "
            f"names. Received: {number} folders: {told}. Give the model `class_names` to match "
            "some of them by name."
        )
    accepted = {"class_names": "the name", "wordnet_ids": "the WordNet identifier"}
    return (
        f"Each folder must bear {' or '.join(accepted[name] for name in given)} of one of the "
        f"{classes} classes. Received: {number} folders, of which {len(unknown)} bear none: "
        f"{told}. Rename or remove them."
    )
