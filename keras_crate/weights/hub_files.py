"""Files of the Hugging Face Hub, in the cache of the Hub's own client.

The client downloads, resumes and caches, but does not compare contents with
hashes. This module does: the name of a file in the cache is the hash that the
Hub states for it.
"""

import contextlib
import importlib
import re
import warnings
from pathlib import Path
from typing import NamedTuple

from keras_crate.files import git_id_of, sha256_of
from keras_crate.weights.tensor_files import KERAS_FILES

SCHEME = "hf://"
EVALUATION_FILE = "evaluation.json"
_REPOSITORY = re.compile(
    r"(?!.*(--|\.\.))(?!.*\.git$)\w[\w.-]{0,95}(?<![.-])/\w[\w.-]{0,95}(?<![.-])", re.A
)


class Address(NamedTuple):
    """A repository on the Hub, and its branch, tag or commit; None for `main`."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return SCHEME + self.repository + (f"@{self.revision}" if self.revision else "")


def parse_address(address: str, revision: str | None = None) -> Address:
    """Reads `hf://user/repository` or `hf://user/repository@revision`.

    Args:
        address: The address.
        revision: A branch, tag or commit, if the address names none.

    Raises:
        ValueError: If the address is not valid, or names another revision.
    """
    name, _, inside = str(address).removeprefix(SCHEME).partition("@")
    if not str(address).startswith(SCHEME) or not _REPOSITORY.fullmatch(name):
        raise ValueError(
            'An address on the Hub is "hf://user/repository" or '
            f'"hf://user/repository@revision". Received: {str(address)!r}'
        )
    if inside and revision and inside != revision:
        raise ValueError(
            f"The address and `revision` name different revisions. Received: {address}, "
            f"revision={revision!r}"
        )
    return Address(name, inside or revision or None)


def download_model(address: Address) -> tuple[Path, str]:
    """Downloads a Keras model's files, unless they are in the client's cache.

    Args:
        address: Repository and revision.

    Returns:
        The folder with the files; and the repository with its commit, for messages.

    Raises:
        FileNotFoundError: If there is no such repository or revision, it may
            not be read, or it holds no Keras model.
        OSError: If the Hub cannot be reached and the files are not in the cache.
        ValueError: If a file is not what the Hub states.
    """
    from huggingface_hub import snapshot_download

    wanted = [*KERAS_FILES, "assets/*", EVALUATION_FILE]
    with _hub_errors(address):
        folder = Path(
            snapshot_download(
                address.repository,
                revision=address.revision,
                allow_patterns=wanted,
                library_name="keras_crate",
            )
        )
    origin = f"{SCHEME}{address.repository}@{folder.name[:12]}"
    check_has_model(folder, origin)
    commit = Address(address.repository, folder.name)
    for path in folder.rglob("*"):
        if path.is_file():
            _check_content(path, commit, path.relative_to(folder).as_posix(), origin)
    return folder, origin


def check_has_model(folder: Path, origin: str) -> None:
    """Refuses a folder without the files of a Keras model; `origin` is for the error.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    missing = [name for name in KERAS_FILES if not (folder / name).exists()]
    if missing:
        raise FileNotFoundError(
            f"{origin} holds no Keras model: {', '.join(missing)} is missing. A checkpoint of the "
            "authors must be downloaded and passed to `keras_crate.hub.from_checkpoint`."
        )


def download_file(address: Address, name: str, sha256: str | None = None) -> Path:
    """Downloads one file of a repository, unless it is in the client's cache.

    Args:
        address: Repository and revision.
        name: Path of the file in the repository.
        sha256: Hash that the file must have, or None if none is known.

    Returns:
        The file on this machine.

    Raises:
        FileNotFoundError, OSError: As `download_model`.
        ValueError: If the file is not what the Hub states, or has another hash.
    """
    path = _fetch(address, name)
    path = _check_content(path, address, name, f"{address}/{name}")
    if sha256 is not None and sha256 != (found := known_hash(path)):
        raise ValueError(
            f"{address}/{name} is not the file of the registry. Its SHA-256 is {found}, but "
            f"must be {sha256}. Nothing was loaded."
        )
    return path


def known_hash(path: Path) -> str:
    """Returns the SHA-256 of a file.

    The name of a cached file is its hash. It was compared with the content when the
    file was found, and is not computed again.
    """
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else sha256_of(path)


def in_cache(address: Address, name: str) -> bool:
    """Whether a file of a repository is in the client's cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(address.repository, name, revision=address.revision)
    except (OSError, ValueError):  # a note of the client's cannot be read
        return False
    return isinstance(found, str)


def _fetch(address: Address, name: str, force_download: bool = False) -> Path:
    from huggingface_hub import hf_hub_download

    with _hub_errors(address, name):
        return Path(
            hf_hub_download(
                address.repository,
                name,
                revision=address.revision,
                force_download=force_download,
                library_name="keras_crate",
            )
        )


def _check_content(path: Path, address: Address, name: str, origin: str) -> Path:
    """Compares a cached file with the hash in its name. Downloads a damaged file again."""
    if _is_whole(path):
        return path
    damaged = f"The cached file {name} of {origin} is damaged"
    try:
        path = _fetch(address, name, force_download=True)
    except (OSError, ValueError) as error:  # as if the Hub cannot be reached
        raise OSError(f"{damaged}. It must be downloaded again. {error}") from None
    if _is_whole(path):
        warnings.warn(f"{damaged}. It was downloaded again.", stacklevel=5)
        return path
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise ValueError(
        f"The file {name} of {origin} is not what the Hub states: its content has another hash. "
        "It was removed and nothing was loaded. Try again, on another network if that fails."
    )


def _is_whole(path: Path) -> bool:
    stated = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", stated):
        return sha256_of(path) == stated
    if re.fullmatch(r"[0-9a-f]{40}", stated):
        return git_id_of(path) == stated
    return True  # on a system without links, the cache does not have hashes


@contextlib.contextmanager
def _hub_errors(address: Address, name: str = ""):
    """Turns the client's errors, which may quote whole requests, into short ones."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    what = f"{name} of {address}" if name else str(address)
    try:
        yield
    except GatedRepoError:
        raise FileNotFoundError(
            f"{address} is gated: ask for access on its page on the Hub, then log in with "
            "`hf auth login`."
        ) from None
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"There is no repository {SCHEME}{address.repository}, or it is private and you are "
            "not logged in as a user who may read it (`hf auth login`)."
        ) from None
    except RevisionNotFoundError:
        raise FileNotFoundError(
            f"{SCHEME}{address.repository} has no branch, tag or commit {address.revision!r}."
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError):
            raise _refused(address, cause) from None
        raise OSError(
            f"{what} is not in the cache, and the Hub cannot be reached ({reason_of(cause)}). "
            "HF_ENDPOINT sets the Hub's address."
        ) from None
    except EntryNotFoundError:
        raise FileNotFoundError(f"{address} has no file {name}.") from None
    except HfHubHTTPError as error:
        raise _refused(address, error) from None
    except (OSError, *transport_errors()) as error:
        raise OSError(f"The download of {what} failed: {reason_of(error)}.") from None


def _refused(address: Address, error) -> OSError:
    status = getattr(error.response, "status_code", "?")
    return OSError(f"The Hub refused {address}: status {status}. Try again later.")


def transport_errors() -> tuple[type[BaseException], ...]:
    """Errors of the client's HTTP library for requests that got no answer."""
    found = []
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(name).HTTPError)
    return tuple(found)


def reason_of(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
