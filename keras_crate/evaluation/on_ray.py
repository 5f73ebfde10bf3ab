"""Writes a model's outputs for many images to Parquet files, computed on Ray."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments
from keras_crate.evaluation.accuracy import outputs_of
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.evaluation.features import without_head
from keras_crate.evaluation.many_images import as_list
from keras_crate.evaluation.preparation import Evaluation
from keras_crate.evaluation.probabilities import class_names_or_numbers, likeliest
from keras_crate.evaluation.ray_images import (
    PARQUET,
    Outputs,
    connect,
    images_in_files,
    images_in_parquet,
    number_of_broken,
    parquet_files,
    with_outputs,
    write_parts,
)
from keras_crate.evaluation.ray_options import RayOptions
from keras_crate.evaluation.resumable import RECORD, begun, settings_of, unfinished_run
from keras_crate.files import make_folder

# In the folder of an unfinished run: the partial results, Ray's list of the images that they have,
# and the list of all image files.
_NAMES = ("parts", "done", "files.parquet")


@names_arguments(options=[RayOptions])
def write_predictions_on_ray(
    model: keras.Model,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    top: int = 5,
    evaluation: Evaluation | None = None,
    batch_size: int = 32,
    **options,
) -> int:
    """Writes the likeliest classes of many images to Parquet files, by Ray Data.

    The Parquet files in the folder `out` have one row for each image, in any order.
    Their columns are:

    - `file`, or the key column of Parquet input: which image it is;
    - `class_1`, `name_1`, `probability_1`, up to `top`, as in `write_predictions`. They are
      null for an image that cannot be read;
    - `error`: why the image cannot be read. It is null for all other images.

    Until the run is complete, partial results are in the folder `OUT.unfinished`. If a
    worker is lost, Ray gives its images to another. If the program is interrupted,
    repeat the call to resume the run. It does not repeat images in finished files, and
    keeps its original list of image files.

    The cluster is the one that Ray is connected to, or that the environment variable
    `RAY_ADDRESS` names. If there is none, Ray starts on this machine. All machines of a
    cluster must have this package, and the same paths for the images and `out`.

    Args:
        model: A classifier. Each worker gets a copy.
        paths: Image files, and folders, which are searched recursively. Or Parquet files,
            and folders with Parquet files.
        out: The folder to write. If it exists, it is replaced at the end.
        top: Number of classes for each image, 1 or more.
        evaluation: How images are prepared. By default `Evaluation.for_model(model)`.
        batch_size: Images at a time, >= 1.
        **options: As in `RayOptions`.

    Returns:
        The number of images that could not be read.

    Raises:
        ValueError: If the model is not a classifier, there are no such files or columns,
            or an unfinished run for `out` has another model or other settings, is
            damaged, or `OUT.unfinished` has other files.
        OSError: If `out` has files that are not Parquet, or cannot be written.
        ImportError: If Ray is not installed.

    Example:

    ```python
    from keras_crate.evaluation import write_predictions_on_ray

    broken = write_predictions_on_ray(model, ["photographs"], "classes", top=1, workers=2)
    ```
    """
    options = RayOptions(**options)
    top = min(check_positive("top", top), number_of_classes(model))
    names = class_names_or_numbers(model)

    def rows_of(model: keras.Model, images: np.ndarray) -> list[list]:
        ranks = zip(*likeliest(model, outputs_of(model, images), top), strict=True)
        return [
            [cell for k, p in zip(*image, strict=True) for cell in (int(k), names[k], float(p))]
            for image in ranks
        ]

    connect()
    import pyarrow as pa

    words = {"class": pa.int32(), "name": pa.string(), "probability": pa.float32()}
    types = {f"{word}_{k + 1}": words[word] for k in range(top) for word in words}
    outputs = Outputs(model, rows_of, types)
    return _write(model, outputs, paths, out, {"top": top}, evaluation, batch_size, options)


@names_arguments(options=[RayOptions])
def write_features_on_ray(
    model: keras.Model,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    evaluation: Evaluation | None = None,
    batch_size: int = 32,
    **options,
) -> int:
    """Writes a model's features of many images to Parquet files, by Ray Data.

    The files, the cluster and how a run is resumed are as in `write_predictions_on_ray`.
    The column `features`, a list of float32, replaces those of the classes.

    Args:
        model: A model that returns one vector per image. The features of a classifier
            of this package are taken before its head.
        paths, out, evaluation, batch_size, options: As in `write_predictions_on_ray`.

    Returns:
        The number of images that could not be read.

    Raises:
        ValueError: If the model does not return one vector per image, or as in
            `write_predictions_on_ray`.
        OSError: If `out` has files that are not Parquet, or cannot be written.
        ImportError: If Ray is not installed.

    Example:

    ```python
    from keras_crate.evaluation import write_features_on_ray

    broken = write_features_on_ray(model, ["photographs"], "features", workers=2)
    ```
    """
    options = RayOptions(**options)

    def rows_of(model: keras.Model, images: np.ndarray) -> list[list]:
        return [[vector] for vector in outputs_of(model, images)]

    encoder = without_head(model)
    connect()
    import pyarrow as pa

    outputs = Outputs(encoder, rows_of, {"features": pa.list_(pa.float32())})
    return _write(model, outputs, paths, out, {}, evaluation, batch_size, options)


def _write(
    model: keras.Model,
    outputs: Outputs,
    paths: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    how: dict,
    evaluation: Evaluation | None,
    batch_size: int,
    options: RayOptions,
) -> int:
    """Writes the outputs of all images to `out`. Returns the number of broken images.

    `how` has the settings, besides the model and the images, that the outputs depend on.
    """
    if "://" in os.fspath(out):
        raise ValueError(
            "`out` must be a path on a file system that every machine sees, not an address. "
            f"Received: {out}"
        )
    out, paths = Path(os.path.abspath(out)), as_list(paths)
    _check_out(out, paths)
    parquet = parquet_files(paths)
    images = (evaluation or Evaluation.for_model(model)).images(parquet or paths, model, batch_size)
    settings = settings_of(model, paths, images) | how | {"key": options.key}
    del settings["batch_size"]  # it does not change the outputs
    with unfinished_run(out) as folder:
        parts, done, listing = (folder / name for name in _NAMES)
        if not parts.is_dir():  # a new run, or one that was killed after its last step
            _remove(folder)
        begun(folder, {"settings": settings})
        make_folder(parts)
        if parquet:
            data, key, column = images_in_parquet(parquet, options)
        else:
            data, key, column = images_in_files(images.files, listing)
        data = with_outputs(data, outputs, images, key, column, options)
        write_parts(data, parts, key, done, options)
        broken = number_of_broken(parts)
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(parts, out)
        _remove(folder)
    return broken


def _check_out(out: Path, paths: list) -> None:
    """Refuses to replace anything but a folder of Parquet files that are not the images."""
    if not out.exists():
        return
    images = [Path(path).resolve() for path in paths]
    has_images = any(out.resolve() in (path, *path.parents) for path in images)
    if has_images or not out.is_dir() or any(path.suffix != PARQUET for path in out.iterdir()):
        raise OSError(
            f"{out} exists, and is not a folder of results, which have Parquet files only. Choose "
            "another `out`."
        )


def _remove(folder: Path) -> None:
    """Removes what a run has written to its folder, except its parts."""
    _, done, listing = (folder / name for name in _NAMES)
    shutil.rmtree(done, ignore_errors=True)
    listing.unlink(missing_ok=True)
    (folder / RECORD).unlink(missing_ok=True)  # last: without it, the other files are refused
