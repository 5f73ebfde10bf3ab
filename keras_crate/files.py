"""Writes files whole or not at all, and computes hashes of files."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

# In a JSON text, line breaks stand between values only.
_NUMBERS = re.compile(r'\[\n([^\[\]{}"]*)\n *\]')
UNFINISHED = ".unfinished-"  # how a name begins until the file is whole


@contextlib.contextmanager
def written_whole(path: Path):
    """Yields a temporary path to write to. It moves to `path` if no error is raised.

    Other processes see the old file or the new one, never a part. Other files
    that are written beside the temporary path are moved too, before it.

    Args:
        path: The file or folder. Its parent is made if it does not exist.

    Raises:
        OSError: If the parent folder cannot be written to.
    """
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        for part in sorted(Path(folder).iterdir(), key=lambda part: part == unfinished):
            target = path.parent / part.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(part, target)


def write_json(path: Path, values) -> None:
    """Writes JSON, whole or not at all. A list of numbers takes one line.

    File names may have bytes that are not valid UTF-8. These are escaped.
    """
    text = json.dumps(values, indent=1, ensure_ascii=False)
    text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    with written_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf8", errors="backslashreplace")


def make_folder(folder: Path) -> None:
    """Makes a folder if it does not exist, and checks that it can be written to.

    Raises:
        OSError: If it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(f"The folder {folder} cannot be written to: {error.strerror}.") from error


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    return _digest(path, hashlib.sha256())


def git_id_of(path: Path) -> str:
    """Returns Git's hash of a file: the SHA-1 of 'blob', its length and its bytes."""
    return _digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def _digest(path: Path, digest) -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
