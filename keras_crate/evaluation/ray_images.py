"""Images as a data set of Ray Data: how its tasks read them and its workers compute outputs."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_crate.checks import some_names
from keras_crate.data import ImageFiles
from keras_crate.data.image_files import why_broken
from keras_crate.evaluation.ray_options import RayOptions
from keras_crate.extras import needed
from keras_crate.files import written_whole

PARQUET = ".parquet"
_FILE, _PIXELS, _ERROR = "file", "pixels", "error"  # columns
_KEYS, _ROW_HASH = ("path", "id"), "row_hash"  # columns that name an image; the last is Ray's
_OTHER_CPUS = 2  # besides the workers': for a task, and for the actor that finds finished images
_BLOCK = 4  # batches that Ray passes between processes at a time


class Outputs(NamedTuple):
    """What the workers compute."""

    model: keras.Model
    rows_of: Callable[[keras.Model, np.ndarray], list[list]]  # from a batch to cells of each image
    types: dict  # Arrow's type of each cell, by the name of its column


def connect() -> None:
    """Connects to Ray, unless the program is already connected.

    The cluster is that of the environment variable `RAY_ADDRESS`, or the one that `ray start`
    has started here. If there is none, Ray starts on this machine.
    """
    with needed("'ray[data]>=2.60' aiohttp", "The engine ray needs"):
        import aiohttp  # noqa: F401  (threads of Ray import it)
        import ray
        import ray.data.checkpoint
    if ray.is_initialized():
        return
    alone = {"num_cpus": max(2 + _OTHER_CPUS, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(**alone)
    except ValueError:  # there is a cluster, which has its own number of CPUs
        ray.init()


def parquet_files(paths: list) -> list[Path]:
    """Returns the Parquet files that the paths name, sorted in each folder; none for images."""
    found = []
    for path in map(Path, map(os.path.abspath, paths)):
        files = sorted(path.glob(f"*{PARQUET}")) if path.is_dir() else [path]
        found.append([file for file in files if file.suffix == PARQUET])
    if any(found) and not all(found):
        raise ValueError(
            "The paths must all be Parquet files or folders with Parquet files, or all be images "
            f"or folders of images. Received: {', '.join(map(str, paths))}"
        )
    return [file for files in found for file in files]


def images_in_files(files: list[Path], listing: Path):
    """Returns a data set of image files, and the names of its key and of its images.

    The files are those of the listing, a Parquet file, which is written if it does not exist.
    """
    import pyarrow
    import pyarrow.parquet
    import ray

    if not listing.exists():  # Ray resumes only what it reads from files
        # Names that are not valid UTF-8 are escaped, so that their images are broken.
        names = [os.fsencode(file).decode("utf8", "backslashreplace") for file in files]
        with written_whole(listing) as unfinished:
            table = pyarrow.table({_FILE: list(dict.fromkeys(names))})  # each file once
            pyarrow.parquet.write_table(table, unfinished)
    return ray.data.read_parquet(str(listing)), _FILE, _FILE


def images_in_parquet(files: list[Path], options: RayOptions):
    """Returns a data set of images in Parquet, and the names of its key and of its images."""
    import pyarrow.parquet
    import ray

    names = pyarrow.parquet.read_schema(files[0]).names
    for option, wanted in (("column", options.column), ("key", options.key)):
        if wanted is not None and wanted not in names:
            raise ValueError(
                f"`{option}` must be a column of {files[0]}: {some_names(names)}. Received: "
                f"{option}={wanted!r}"
            )
    key = options.key or next((name for name in _KEYS if name in names), _ROW_HASH)
    paths = [str(file) for file in files]
    data = ray.data.read_parquet(paths, include_row_hash=key == _ROW_HASH, partitioning=None)
    return data.select_columns([key, options.column]), key, options.column


def with_outputs(
    data, outputs: Outputs, images: ImageFiles, key: str, column: str, options: RayOptions
):
    """Returns a data set with the key, the outputs and the error of each image.

    `key` is the column that names an image, and `column` has files, bytes, or structs with `bytes`.
    """
    import ray

    gpus, most, first = _sizes(ray.cluster_resources(), options)
    reader = images.part(0, 0)  # without the files' names
    each = {
        "batch_size": images.batch_size,
        "batch_format": "pyarrow",
        # Every process of Ray imports Keras for itself.
        "runtime_env": {"env_vars": {"KERAS_BACKEND": keras.backend.backend()}},
    }
    data = data.repartition(target_num_rows_per_block=_BLOCK * images.batch_size)
    here = os.getcwd()
    data = data.map_batches(read_images, fn_args=(reader, key, column, here), **each)
    return data.map_batches(
        Worker,
        fn_constructor_args=(ray.put(outputs), reader),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=most, initial_size=first),
        num_gpus=gpus or None,
        **each,
    )


def _sizes(cluster: dict[str, float], options: RayOptions) -> tuple[float, int, int]:
    """Returns the GPUs per worker, the largest and the initial number of workers."""
    has_cpus, has_gpus = (int(cluster.get(name, 0)) for name in ("CPU", "GPU"))
    if 0 < has_cpus < 1 + _OTHER_CPUS:  # with 0, the cluster has not begun to grow
        raise ValueError(
            f"Ray must have {1 + _OTHER_CPUS} CPUs or more: one for a worker, and {_OTHER_CPUS} to "
            f"read, write and resume. Received: a cluster with {has_cpus} CPUs"
        )
    gpus = min(1, has_gpus) if options.gpus is None else options.gpus
    if gpus:
        most = first = int(has_gpus / gpus)
    else:
        most, first = has_cpus // 2, has_cpus - _OTHER_CPUS
    most = options.workers or max(1, most)
    return gpus, most, max(1, min(most, first))


def write_parts(data, parts: Path, key: str, done: Path, options: RayOptions) -> None:
    """Computes a data set and writes it to Parquet files in `parts`.

    Rows in whole files are not repeated: Ray notes their keys in the folder `done`.
    """
    from ray.data.checkpoint import CheckpointConfig
    from ray.exceptions import RayTaskError

    context = data.context  # of this data set only
    context.checkpoint_config = CheckpointConfig(key, str(done), delete_checkpoint_on_success=False)
    context.enable_progress_bars = bool(options.verbose)
    context.raise_original_map_exception = True
    try:
        data.write_parquet(str(parts), min_rows_per_file=options.rows_per_file)
    except RayTaskError as error:  # its text is the traceback of a worker
        raise error.cause from error


def number_of_broken(parts: Path) -> int:
    """Returns the number of images that could not be read."""
    import pyarrow.dataset

    results = pyarrow.dataset.dataset(parts, format="parquet")
    return results.count_rows(filter=pyarrow.dataset.field(_ERROR).is_valid())


def read_images(table, reader: ImageFiles, key: str, column: str, folder: str):
    """Returns a batch's keys, the pixels of its images, and why an image is broken.

    Names of files may be relative to `folder`, in which a process of Ray need not run.
    """
    import pyarrow as pa

    pixels, errors = [], []
    for value in table[column].to_pylist():
        try:
            image, error = reader.read_image(_file(value, folder)).astype("uint8").tobytes(), None
        except Exception as broken:  # Pillow's decoders raise errors of many kinds
            image, error = None, why_broken(broken)
        pixels.append(image)
        errors.append(error)
    columns = {_PIXELS: pa.array(pixels, pa.binary()), _ERROR: pa.array(errors, pa.string())}
    return pa.table({key: table[key], **columns})


def _file(value, folder: str):
    """Returns what Pillow opens: the name of a file, or the bytes of an image as a file."""
    if isinstance(value, dict):
        value = value.get("bytes")
    if value is None:
        raise ValueError("it is null")
    return io.BytesIO(value) if isinstance(value, bytes) else os.path.join(folder, value)


class Worker:
    """An actor of Ray with a copy of the model, which computes the outputs of prepared images."""

    def __init__(self, outputs, reader: ImageFiles):
        import ray

        self.outputs, self.reader = ray.get(outputs), reader

    def __call__(self, table):
        import pyarrow as pa

        model, rows_of, types = self.outputs
        reader = self.reader
        shape = (*reader.size, len(reader.mode))
        # Each batch has the same size, for which a backend compiles once. Broken images are black.
        images = np.zeros((reader.batch_size, *shape), "float32")
        for image, pixels in zip(images, table[_PIXELS], strict=False):
            if pixels.is_valid:
                image[:] = np.frombuffer(pixels.as_buffer(), "uint8").reshape(shape)
        rows = rows_of(model, reader.stacked(images))[: len(table)]
        broken = table[_ERROR].is_valid().to_pylist()
        rows = [
            [None] * len(types) if is_broken else row
            for row, is_broken in zip(rows, broken, strict=True)
        ]
        cells = zip(*rows, strict=True)
        columns = [pa.array(of, type) for of, type in zip(cells, types.values(), strict=True)]
        names = [table.column_names[0], *types, _ERROR]
        return pa.table([table[0], *columns, table[_ERROR]], names)
