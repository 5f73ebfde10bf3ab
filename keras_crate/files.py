"""Where downloads and conversions are kept, and how their content is checked."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from keras_crate.backend import keras_home


def cache_folder() -> Path:
    """The package's cache: `KERAS_CRATE_CACHE`, or `keras_crate` in Keras' own folder.

    Files of the Hugging Face Hub stay in that client's cache (`HF_HOME`).
    """
    given = os.environ.get("KERAS_CRATE_CACHE")
    return Path(given) if given else keras_home() / "keras_crate"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    return _digest(path, hashlib.sha256())


def git_id_of(path: Path) -> str:
    """What git calls a file's content: SHA-1 of its kind, length and bytes."""
    return _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def _digest(path: Path, digest) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_record(path: Path) -> dict | None:
    """A JSON record; None if there is none, or it is damaged."""
    try:
        record = json.loads(path.read_text("utf8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def write_record(path: Path, record: dict) -> None:
    """Writes a JSON record, whole or not at all."""
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf8")


@contextlib.contextmanager
def written_whole(path: Path):
    """Gives a path to write to, whose file takes its place at `path` when all went well.

    Other processes see the old file or the new one, never a part.
    """
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        os.replace(unfinished, path)


def make_folder(folder: Path) -> None:
    """Makes a folder that can be written to.

    Raises:
        OSError: If it cannot be; the error says what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"The folder {folder} cannot be written ({error.strerror}). Where it is keras_crate's "
            "cache, KERAS_CRATE_CACHE names another."
        ) from error
