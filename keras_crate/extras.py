"""Optional packages."""

import contextlib


@contextlib.contextmanager
def needed(package: str, purpose: str):
    """Goes around an import. Its error says what needs the package and how to install it.

    `purpose` is the beginning of a sentence such as `"Figures need"`.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{purpose} {package}, which is not installed. Install it with: pip install {package}"
        ) from error
    except ImportError as error:  # another version of a package that it imports, for example
        reason = " ".join(str(error).split())[:200]
        raise ImportError(
            f"{purpose} {package}, which cannot be imported: {reason}\n"
            f"Update it with: pip install --upgrade {package}"
        ) from error
