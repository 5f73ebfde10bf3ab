"""Writes a model's outputs for many image files: classes to CSV, features to NumPy's npz."""

import csv
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments
from keras_crate.evaluation.accuracy import outputs_of
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.evaluation.features import without_head
from keras_crate.evaluation.preparation import Evaluation
from keras_crate.evaluation.probabilities import class_names_or_numbers, likeliest
from keras_crate.evaluation.resumable import computed, settings_of
from keras_crate.files import written_whole


@names_arguments
def write_predictions(
    model: keras.Model,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    top: int = 5,
    evaluation: Evaluation | None = None,
    batch_size: int = 32,
    verbose: int = 0,
) -> dict[str, str]:
    """Writes the likeliest classes of many image files to a CSV file.

    The file has one line for each image that can be read, in the order of `paths`;
    the files of a folder are sorted. Its columns are `file`, and `class_1`, `name_1`,
    `probability_1` for the likeliest class, up to `top`. The text is UTF-8. Bytes of
    a file name that are not valid UTF-8 are escaped, such as `\\udcff`.

    Until all images are read, the results are in the folder `OUT.unfinished`. If the
    process is killed, repeat the call to resume the run. A resumed run keeps its
    original list of images and the results that it has. If images were changed since
    then, remove the folder to begin again. One batch of images is in memory at a time.

    Args:
        model: A classifier.
        paths: Image files, and folders, which are searched recursively.
        out: The CSV file. It is replaced if it exists.
        top: Number of classes for each image, 1 or more.
        evaluation: How images are prepared. By default `Evaluation.for_model(model)`.
        batch_size: Images at a time, >= 1.
        verbose: 1 for a progress bar on standard error, if it is a terminal.

    Returns:
        The reason for each file that could not be read.

    Raises:
        ValueError: If the model is not a classifier, there are no such files, or
            an unfinished run for `out` has another model or other settings, is
            damaged, or `OUT.unfinished` has other files.
        OSError: If `out` is a folder or cannot be written.

    Example:

    ```python
    broken = keras_crate.evaluation.write_predictions(model, ["photographs"], "classes.csv", top=1)
    print(open("classes.csv").readline())  # file,class_1,name_1,probability_1
    ```
    """
    paths = as_list(paths)
    top = min(check_positive("top", top), number_of_classes(model))
    images = (evaluation or Evaluation.for_model(model)).images(paths, model, batch_size)
    settings = settings_of(model, paths, images) | {"top": top}

    def compute(batch: np.ndarray) -> np.ndarray:
        return np.stack(likeliest(model, outputs_of(model, batch), top), axis=-1)

    parts = computed(Path(out), images, compute, settings, verbose)
    titles = [f"{word}_{k + 1}" for k in range(top) for word in ("class", "name", "probability")]
    names, broken = class_names_or_numbers(model), {}
    text = {"newline": "", "encoding": "utf8", "errors": "backslashreplace"}
    with (
        parts as found,
        written_whole(Path(out)) as unfinished,
        unfinished.open("w", **text) as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["file", *titles])
        for part in found:
            broken |= part.broken
            for path, likely in zip(part.read, part.values, strict=True):
                cells = ((int(k), names[int(k)], round(float(p), 6)) for k, p in likely)
                rows.writerow([path, *itertools.chain.from_iterable(cells)])
    return broken


@names_arguments
def write_features(
    model: keras.Model,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    evaluation: Evaluation | None = None,
    batch_size: int = 32,
    verbose: int = 0,
) -> dict[str, str]:
    """Writes a model's features of many image files to a `.npz` file of NumPy.

    The file has two arrays: `features`, `(n, d)`, float32, and `files`, `(n,)`, the
    names of the n images that could be read. An interrupted run is resumed as
    in `write_predictions`. At the end, all features are in memory.

    Args:
        model: A model that gives one vector an image. The features of a classifier
            of this package are taken before its head.
        paths, evaluation, batch_size, verbose: As in `write_predictions`.
        out: The `.npz` file. It is replaced if it exists.

    Returns:
        The reason for each file that could not be read.

    Raises:
        ValueError: If the model does not give one vector an image, or as in
            `write_predictions`.
        OSError: If `out` is a folder or cannot be written.

    Example:

    ```python
    import numpy as np

    broken = keras_crate.evaluation.write_features(model, ["photographs"], "features.npz")
    print(np.load("features.npz")["features"].shape)
    ```
    """
    paths = as_list(paths)
    encoder = without_head(model)
    images = (evaluation or Evaluation.for_model(model)).images(paths, model, batch_size)
    settings = settings_of(model, paths, images)
    parts = computed(Path(out), images, lambda batch: outputs_of(encoder, batch), settings, verbose)
    broken, files = {}, []
    features = np.empty((len(images.files), encoder.output_shape[1]), "float32")
    with parts as found, written_whole(Path(out), size=features.nbytes) as unfinished:
        for part in found:
            broken |= part.broken
            if part.read:
                features[len(files) : len(files) + len(part.read)] = part.values
                files += part.read
        with unfinished.open("wb") as file:
            np.savez(file, features=features[: len(files)], files=np.array(files, dtype=str))
    return broken


def as_list(paths) -> list:
    """Returns one path, or several, as a list."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
