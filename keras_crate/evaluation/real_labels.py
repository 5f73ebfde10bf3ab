"""Reassessed labels of ImageNet ("ReaL")."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from keras_crate.reading import read_json

_IMAGES = 50_000  # of ImageNet's validation


def real_labels(file: str | os.PathLike, images: Sequence[Path]) -> list[list[int]]:
    """Reads the ReaL labels of validation images of ImageNet.

    Args:
        file: `real.json` as its authors publish it: a list of classes for each
            of the 50,000 images, in the order of their numbers.
        images: Files with ImageNet's names: `ILSVRC2012_val_00000001.JPEG`.

    Reference:
        Beyer et al., "Are we done with ImageNet?", arXiv:2006.07159.
    """
    labels = read_json(file, list)
    is_lists = all(
        isinstance(classes, list) and all(type(k) is int for k in classes) for classes in labels
    )
    if not is_lists or len(labels) != _IMAGES:
        raise ValueError(
            f"The ReaL labels must be a list of {_IMAGES:,} lists of classes, as in the authors' "
            f"real.json. Received: {file}, with other content"
        )
    return [labels[_number(image) - 1] for image in images]


def _number(image: Path) -> int:
    match = re.search(r"_val_(\d{8})$", image.stem)
    number = int(match.group(1)) if match else 0
    if not 1 <= number <= _IMAGES:
        raise ValueError(
            "With ReaL labels, files must have ImageNet's names, such as "
            f"ILSVRC2012_val_00000001.JPEG. Received: {image.name}"
        )
    return number
