"""Optional packages."""

import contextlib


@contextlib.contextmanager
def needed(package: str, purpose: str):
    """Goes around an import. Its error says what needs the package and how to install it.

    `purpose` is the beginning of a sentence such as `"Figures need"`.
    """
    try:
        yield
    except ImportError as error:
        reason = " ".join(str(error).split())[:200]
        raise ImportError(
            f"{purpose} {package}, which cannot be imported: {reason}.\n"
            f"Install or update it with: pip install --upgrade {package}"
        ) from error
