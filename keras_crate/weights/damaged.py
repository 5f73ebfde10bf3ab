"""How errors about weights files are said: refusals of ours, and damage that libraries find."""

import contextlib

from keras_crate.files import DiskFull
from keras_crate.weights.hdf5 import Refused

_SMALL = 1 << 26  # bytes; any file may declare as many
_FACTOR = 16  # of the file's size; compressed weights and weights in float16 need less


@contextlib.contextmanager
def damage_named(origin: str):
    """Turns what libraries raise for a file into one error with its name.

    Libraries raise errors of some twenty classes for damaged files, and MemoryError for what
    such a file declares.

    Args:
        origin: What to call the file.

    Raises:
        Refused: If the statement raised another error than `Refused`, `ImportError` (of a
            library that is not installed), `FileNotFoundError`, `PermissionError` or `DiskFull`.
    """
    try:
        yield
    except (Refused, ImportError, FileNotFoundError, PermissionError, DiskFull):
        raise
    except MemoryError as error:
        raise Refused(
            f"There is not enough memory for the weights file {origin}, or it is damaged. Free "
            "memory, or copy or download it again."
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise damaged(origin, reason) from error


def damaged(origin: str, reason: str) -> Refused:
    """The error for a file that cannot be read."""
    return Refused(
        f"The weights file {origin} is truncated or damaged: copy or download it again. ({reason})"
    )


def most_bytes(size: int) -> int:
    """How many bytes a file of `size` bytes may declare or unpack to."""
    return _FACTOR * size + _SMALL


def check_declared(origin: str, declared: int, size: int) -> None:
    """Refuses a file that declares far more than it holds, before anything is allocated.

    Args:
        origin: What to call the file.
        declared: Bytes of the arrays, the unpacked content or the model that it declares.
        size: Bytes of the file.

    Raises:
        Refused: If the declared bytes are more than `most_bytes`.
    """
    if declared > most_bytes(size):
        raise Refused(
            f"{origin} declares {declared:,} bytes, but its weights file has {size:,}: it is "
            f"damaged, or made to fill the memory. At most {most_bytes(size):,} are read. Nothing "
            "was loaded."
        )
