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
def written_whole(path: Path, folder: bool = False):
    """Yields a temporary path to write to. It moves to `path` if no error is raised.

    Other processes see the old file or the new one, never a part. Other files
    that are written beside the temporary path are moved too, before it.

    Args:
        path: The file or folder. Its parent is made if it does not exist.
        folder: Whether a folder is written. It replaces a folder with its content:
            the caller checks that this content may go.

    Raises:
        OSError: If the parent folder cannot be written to, or a file would replace
            a folder.
    """
    if "\0" in path.name:  # some libraries raise errors without it
        raise ValueError(f"The name of a file cannot have a NUL. Received: {path.name!r}")
    if not folder:
        check_no_folder(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as beside:
        unfinished = Path(beside) / path.name
        yield unfinished
        for part in sorted(Path(beside).iterdir(), key=lambda part: part == unfinished):
            if folder and part == unfinished and path.is_dir():
                shutil.rmtree(path)
            os.replace(part, path.parent / part.name)


@contextlib.contextmanager
def locked(file: Path, message: str):
    """Holds a lock against other processes in its `with` statement. The caller removes the file.

    Args:
        file: The lock file. Its folder exists.
        message: Error if another process holds the lock.

    Raises:
        ValueError: If another process holds the lock.
    """
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(FileLock(file, timeout=0))
        except Timeout:
            raise ValueError(message) from None
        yield


def check_no_folder(path: Path) -> None:
    """Refuses a folder where a file will be written.

    Raises:
        OSError: If the path is a folder.
    """
    if path.is_dir():
        raise OSError(f"{path} is a folder, and a file must not replace it. Choose another path.")


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
    except (OSError, ValueError) as error:  # a ValueError if the name has a NUL
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"The folder {folder} cannot be written to: {reason}.") from error


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
