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
            f"{purpose} {package}, which cannot be imported ({reason}). Install it with: "
            f"pip install {package}\nIf it is installed, add --upgrade."
        ) from error
