"""Writes files whole or not at all, and computes hashes of files."""

import contextlib
import errno
import functools
import hashlib
import json
import math
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

# In a JSON text, line breaks stand between values only.
_NUMBERS = re.compile(r'\[\n([^\[\]{}"]*)\n *\]')
UNFINISHED = ".unfinished-"  # how a name begins until the file is whole
_SCRATCH = "keras_crate-"
# Of a disk, a quota and a limit of the system. Libraries in C only quote the words.
_FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}


@contextlib.contextmanager
def written_whole(path: Path, folder: bool = False, size: int = 0):
    """Yields a temporary path to write to. It moves to `path` if no error is raised.

    Other processes see the old file or the new one, never a part. Other files that are
    written beside the temporary path are moved too, before it. A `folder` replaces a
    folder with its content: the caller checks that this content may go. `size` is the
    least number of bytes, if it is known.
    """
    if "\0" in path.name:  # some libraries raise errors without it
        raise ValueError(f"The name of a file cannot have a NUL. Received: {path.name!r}")
    if not folder:
        check_no_folder(path)
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=UNFINISHED, ignore_cleanup_errors=True
    ) as beside:
        unfinished = Path(beside) / path.name
        with _full_disk_told(path, Path(beside), size):
            yield unfinished
        for part in sorted(Path(beside).iterdir(), key=lambda part: part == unfinished):
            if folder and part == unfinished and path.is_dir():
                shutil.rmtree(path)
            os.replace(part, path.parent / part.name)


@contextlib.contextmanager
def scratch_folder():
    """Yields a temporary folder, and removes those of processes that were killed."""
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True) as folder,
        locked(Path(folder, "lock"), "in use"),
        _full_disk_told(Path(folder), Path(folder)),
    ):
        _remove_left(Path(folder).parent)
        files = Path(folder, "files")
        files.mkdir()
        yield files


@functools.cache  # once a process: the folder may have very many files
def _remove_left(temporary: Path) -> None:
    user = getattr(os, "getuid", int)()  # Windows has 0 for all
    for left in temporary.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError, ValueError):  # in use
            about = left.lstat()
            is_ours = about.st_uid == user  # another's may have a lock that is a link
            is_ours &= (left / "lock").exists()
            if is_ours and time.time() - about.st_mtime > 60:  # a new one may not be locked yet
                with locked(left / "lock", "in use"):
                    shutil.rmtree(left)


class DiskFull(OSError):
    """There is no space on a disk."""


@contextlib.contextmanager
def _full_disk_told(path: Path, folder: Path, size: int = 0):
    """Raises `DiskFull` for `path` if writing to `folder` fails for want of space."""
    disk = shutil.disk_usage(folder)
    free = disk.free

    def full(reason: str, needed: str) -> DiskFull:
        return DiskFull(
            f"{path} could not be written ({reason}): it needs {needed} bytes, and {free:,} were "
            "free. What was there before is unchanged. Free disk space, or choose another disk."
        )

    # Some network disks do not know their size. HDF5 may crash if the disk gets full.
    if disk.total and size > free:
        raise full(os.strerror(errno.ENOSPC), f"{size:,}")
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:  # of many kinds: HDF5, safetensors and zip raise their own
        reason = _why_full(error)
        if reason is None:
            raise
        written = sum(part.stat().st_size for part in folder.rglob("*") if part.is_file())
        raise full(reason, f"more than {max(size, written):,}") from error


def _why_full(error: BaseException | None) -> str | None:
    """The system's words for a full disk, if that led to the error."""
    while error is not None:
        for number, words in _FULL.items():
            if getattr(error, "errno", None) == number or words in str(error):
                return words
        error = error.__cause__ or error.__context__
    return None


@contextlib.contextmanager
def locked(file: Path, message: str):
    """Holds a lock against other processes in its `with` statement. The caller removes the file.

    If another process holds the lock, the error is `message`, with that process.
    """
    from filelock import FileLock, Timeout

    owner = ""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, UnicodeError):
            owner = file.read_text("utf8")[:200]  # before older versions of `FileLock` empty it
        try:
            stack.enter_context(FileLock(file, timeout=0))
        except Timeout:
            raise ValueError(message + (f" It is {owner}." if owner else "")) from None
        with contextlib.suppress(OSError):  # on Windows, the file is locked for its owner too
            file.write_text(f"process {os.getpid()} on {platform.node()}", "utf8")
        yield


def bytes_of(variables: Iterable) -> int:
    """Number of bytes of the values of variables of Keras."""
    return sum(
        math.prod(v.shape) * next((int(n) // 8 for n in ("64", "32", "16") if n in v.dtype), 1)
        for v in variables
    )


def check_no_folder(path: Path) -> None:
    """Refuses a folder where a file will be written."""
    if path.is_dir():
        raise OSError(f"{path} is a folder, and a file must not replace it. Choose another path.")


def write_json(path: Path, values) -> None:
    """Writes JSON, whole or not at all. A list of numbers takes one line.

    File names may have bytes that are not valid UTF-8. These are escaped.
    """
    text = json.dumps(values, indent=1, ensure_ascii=False)
    text = _NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)
    content = text.encode("utf8", errors="backslashreplace")
    with written_whole(path, size=len(content)) as unfinished:
        unfinished.write_bytes(content)


def make_folder(folder: Path) -> None:
    """Makes a folder if it does not exist, and checks that it can be written to."""
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
