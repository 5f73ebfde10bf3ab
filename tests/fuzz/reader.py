"""What a reader of files is, and what it must do with any file."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_SECONDS = 10
_KILOBYTES = 300_000
_LINES, _CHARACTERS = 4, 3000


class Reader(NamedTuple):
    """A function of the package that reads a file.

    Attributes:
        name: What to call it.
        file: Name of the file, with the ending that decides the format. It may be in a folder.
        seeds: Returns real files, of some kB.
        read: Reads the file of a path.
        kept: Ends of the names of an archive's members that stay as they are.
        errors: Classes of the errors that it may raise.
    """

    name: str
    file: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    kept: tuple[str, ...] = ()
    errors: tuple[type[Exception], ...] = (ValueError, FileNotFoundError)


class Fault(Exception):
    """What a reader must not do."""


def check(reader: Reader, content: bytes, folder: Path) -> str:
    """Reads one file.

    Args:
        reader: The reader.
        content: The file's content.
        folder: Where the file is written. Other files there stay.

    Returns:
        The class of the error that was raised, or "" if the file was read.

    Raises:
        Fault: If another error was raised, its message is long or does not name the file, or
            the file took much memory or time.
    """
    path = folder / reader.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    memory, start = _memory(), time.process_time()
    raised: Exception | None = None
    try:
        reader.read(path)
    except Exception as error:
        raised = error
    if raised is not None:
        message = str(raised)
        if type(raised).__mro__[1] is UnicodeError or not isinstance(raised, reader.errors):
            raise Fault(f"{reader.name}: {type(raised).__name__}: {message[:300]}") from raised
        if path.name not in message and str(path.parent) not in message:
            raise Fault(f"{reader.name}: the error does not name the file: {message[:300]}")
        if len(message.splitlines()) > _LINES or len(message) > _CHARACTERS:
            raise Fault(f"{reader.name}: a message of {len(message)} characters: {message[:600]}")
    if time.process_time() - start > _SECONDS:
        raise Fault(f"{reader.name}: took {time.process_time() - start:.0f} seconds")
    if _memory() - memory > _KILOBYTES:
        raise Fault(f"{reader.name}: took {(_memory() - memory) / 1e6:.1f} GB")
    return type(raised).__name__ if raised else ""


def _memory() -> int:
    """The most memory that this process has had, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
