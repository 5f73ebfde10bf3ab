"""Packages that only parts of this one need."""

import contextlib


@contextlib.contextmanager
def needed(package: str, purpose: str):
    """Around an import: says what it is for, and how to get it, where it is not installed.

    Args:
        package: What `pip install` calls it.
        purpose: What needs it, as the beginning of a sentence.

    Raises:
        ImportError: If the import fails.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{purpose} {package}, which is not installed. Install it with: pip install {package}"
        ) from error
