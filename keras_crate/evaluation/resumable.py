"""Computes arrays for many image files, batch by batch. An interrupted run can be resumed."""

import contextlib
import json
import os
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from keras_crate.data import ImageFiles
from keras_crate.files import (
    UNFINISHED,
    check_no_folder,
    locked,
    make_folder,
    write_json,
    written_whole,
)
from keras_crate.models.fingerprint import fingerprint
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.reading import read_json

_LOCK, RECORD = "lock", "run.json"
MOST_NAMES = 2**31  # bytes of the names of all images


class Part(NamedTuple):
    """What was computed for some of the files."""

    values: np.ndarray  # one row for each file that was read
    read: list[str]
    broken: dict[str, str]  # the reason for each other file


@contextlib.contextmanager
def computed(
    out: Path,
    images: ImageFiles,
    compute: Callable[[np.ndarray], np.ndarray],
    settings: dict,
    verbose: int = 0,
) -> Iterator[Iterator[Part]]:
    """Computes an array for each batch, and yields all of them in the order of the files.

    Each batch is written to a file in the folder `OUT.unfinished`, whole or not at
    all. If the process is killed, the next call computes only the missing batches.
    The caller writes `out` in the `with` statement. After it, the files that were made
    in the folder are removed, and the folder if it is empty.

    Args:
        out: The file that the caller writes.
        images: The images. A resumed run keeps its original list of images.
        compute: Returns an array with one row an image.
        settings: Everything else that the values depend on, as JSON values.
        verbose: 1 for a progress bar on standard error, if it is a terminal.
    """
    check_no_folder(out)
    with unfinished_run(out) as folder:
        images.files = _files(folder, images.files, settings)
        starts = range(0, len(images.files), images.batch_size)
        parts = [folder / f"{start:09}.npz" for start in starts]
        with _bar(verbose) as bar:
            task = bar.add_task(out.name, total=len(images.files))
            for start, file in zip(starts, parts, strict=True):
                some = images.part(start, start + images.batch_size)
                if not _is_readable(file):
                    _write_part(file, some, compute)
                bar.advance(task, len(some.files))
        yield map(_read_part, parts)
        for file in parts:
            file.unlink()
        for left in folder.glob(f"{UNFINISHED}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        (folder / RECORD).unlink()  # last: without it, the other files would be refused


def settings_of(model: keras.Model, paths: Sequence[str | os.PathLike], images: ImageFiles) -> dict:
    """Returns what every result depends on: the model, the images and their preparation."""
    config = model.get_config() if isinstance(model, WhiteBoxModel) else {}
    config.pop("name", None)
    text = json.dumps(config, sort_keys=True, default=keras.saving.serialize_keras_object)
    return {
        "model": [fingerprint(model), text],
        "images": [[os.fspath(path), os.path.abspath(path)] for path in paths],
        "preparation": [images.input_shape, images.resize, images.interpolation],
        "batch_size": images.batch_size,
    }


@contextlib.contextmanager
def unfinished_run(out: Path) -> Iterator[Path]:
    """The locked folder of an unfinished run. At the end it is removed, if it is empty.

    A folder that has files, but no unfinished run, is refused.
    """
    folder = out.with_name(out.name + ".unfinished")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    others = {name for name in names - {_LOCK} if not name.startswith(UNFINISHED)}
    if others and RECORD not in names:
        raise ValueError(
            f"The unfinished run would be in {folder}. Received: {folder} has {min(others)} and no "
            f"{RECORD}. Choose another `out`, or move the folder."
        )
    make_folder(folder)
    with locked(folder / _LOCK, f"Another process is writing to {folder}. Wait until it ends."):
        yield folder
    (folder / _LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it has files of the user
        folder.rmdir()


def begun(folder: Path, values: dict) -> dict:
    """Begins a run in a folder, or resumes it. Returns the values with which it was begun.

    Those of `settings` must be the same when a run is resumed.
    """
    record = folder / RECORD
    if not record.exists():
        write_json(record, values)
    now = json.loads(json.dumps(values["settings"]))
    kinds = {name: type(value) for name, value in values.items()}
    try:
        original = read_json(record, has=kinds, most=MOST_NAMES)
    except ValueError as error:
        raise ValueError(
            f"{error}\nIt does not describe an unfinished run, or is damaged. Remove the folder to "
            "begin again."
        ) from error
    settings = original["settings"]
    changed = [name for name in now if settings.get(name) != now[name]]
    if changed:
        raise ValueError(
            f"The unfinished run in {folder} has another {', '.join(changed)}. Repeat the original "
            "call to resume the run, or remove the folder to start again."
        )
    return original


def _files(folder: Path, files: list[Path], settings: dict) -> list[Path]:
    """Returns the files of a run. A resumed run keeps its original list."""
    original = begun(folder, {"settings": settings, "files": [str(file) for file in files]})
    found = [Path(name) for name in original["files"]]
    if found != files:
        warnings.warn(
            f"The run is resumed with its original list of {len(found)} images. The paths now have "
            f"{len(files)} images.",
            stacklevel=2,
        )
    return found


def _write_part(file: Path, images: ImageFiles, compute: Callable) -> None:
    values = [compute(batch) for batch in images]  # one batch, or none if all files are broken
    broken = [images.broken.get(path, "") for path in images.files]
    found = values[0] if values else np.zeros(0, "float32")
    with written_whole(file, size=found.nbytes) as unfinished:
        np.savez(
            unfinished,
            values=found,
            files=np.array([str(path) for path in images.files], dtype=str),
            broken=np.array(broken, dtype=str),
        )


def _read_part(file: Path) -> Part:
    with np.load(file) as part:
        files, reasons = part["files"].tolist(), part["broken"].tolist()
        pairs = list(zip(files, reasons, strict=True))
        return Part(
            part["values"],
            [name for name, reason in pairs if not reason],
            {name: reason for name, reason in pairs if reason},
        )


def _is_readable(file: Path) -> bool:
    try:
        _read_part(file)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return False  # it does not exist, or is damaged
    return True


def _bar(verbose: int) -> Progress:
    console = Console(stderr=True)
    shown = verbose and (console.is_terminal or console.is_jupyter)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    return Progress(*columns, console=console, disable=not shown)
