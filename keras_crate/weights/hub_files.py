"""Files of the Hugging Face Hub, in the cache of the Hub's own client.

The client downloads, resumes and caches, but does not compare contents with
hashes. This module does: the name of a file in the cache is the hash that the
Hub states for it.
"""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from keras_crate.files import git_id_of, sha256_of
from keras_crate.weights.hub_errors import hub_errors
from keras_crate.weights.tensor_files import AUTHORS_FILE, KERAS_FILES, WEIGHTS_FILE

SCHEME = "hf://"
EVALUATION_FILE = "evaluation.json"
_REPOSITORY = re.compile(
    r"(?!.*(--|\.\.))(?!.*\.git$)\w[\w.-]{0,95}(?<![.-])/\w[\w.-]{0,95}(?<![.-])", re.A
)
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")  # SHA-256, or Git's


class Address(NamedTuple):
    """A repository on the Hub, and its branch, tag or commit; None for `main`."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return SCHEME + self.repository + (f"@{self.revision}" if self.revision else "")


def parse_address(address: str, revision: str | None = None) -> Address:
    """Reads `hf://user/repository` or `hf://user/repository@revision`."""
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


def download_model(address: Address) -> tuple[Path, Address]:
    """Downloads a Keras model's files but for its weights, unless they are in the client's cache.

    Returns their folder, and the repository with its commit.
    """
    first, last, _ = KERAS_FILES
    found = _fetch(address, first, optional=True)
    if found is None:
        raise _no_model(str(address), KERAS_FILES)
    folder = found.parent
    commit = Address(address.repository, folder.name)
    if not in_cache(commit, last):  # then the rest is there too
        for name in (EVALUATION_FILE, *_assets(commit), last):
            _fetch(commit, name, optional=True)
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (AUTHORS_FILE, WEIGHTS_FILE):  # those when they are read
            _check_content(path, commit, name, str(commit))
    return folder, commit


def check_has_model(folder: Path, origin: str, names: Iterable[str] = KERAS_FILES) -> None:
    """Refuses a folder without files of a Keras model; `origin` is for the error."""
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise _no_model(origin, missing)


def _no_model(origin: str, missing: Iterable[str]) -> FileNotFoundError:
    return FileNotFoundError(
        f"{origin} holds no Keras model, since it lacks {', '.join(missing)}. A checkpoint of the "
        "authors must be downloaded and passed to `keras_crate.hub.from_checkpoint`."
    )


def download_file(
    address: Address, name: str, sha256: str | None = None, optional: bool = False
) -> Path | None:
    """Downloads one file of a repository, unless it is in the client's cache.

    If `sha256` is known, the file must have it. Returns None if it is `optional` and not there.
    """
    path = _fetch(address, name, optional=optional)
    if path is None:
        return None
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


def _assets(commit: Address) -> list[str]:
    """The names of a model's assets, from one request: pages of a listing may never end."""
    from huggingface_hub import HfApi

    with hub_errors(str(commit), f"The files of {commit} could not be listed"):
        info = HfApi(library_name="keras_crate").model_info(
            commit.repository, revision=commit.revision
        )
        names = [sibling.rfilename for sibling in info.siblings or ()]
        return [name for name in names if name.startswith("assets/")]


def _fetch(
    address: Address, name: str, force_download: bool = False, optional: bool = False
) -> Path | None:
    """Downloads a file, unless it is in the cache. None if it is optional and not there."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    with hub_errors(str(address), f"The download of {address}/{name} failed"):
        try:
            path = Path(
                hf_hub_download(
                    address.repository,
                    name,
                    revision=address.revision,
                    force_download=force_download,
                    library_name="keras_crate",
                )
            )
        except RemoteEntryNotFoundError:
            if not optional:
                raise
            return None
    if path.is_symlink() and not _HASH.fullmatch(path.resolve().name):
        path.unlink()  # what it leads to may be any file
        raise ValueError(
            f"The Hub states no hash of {address}/{name}. Nothing was loaded. Try again, on "
            "another network if that fails."
        )
    return path


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
    if not _HASH.fullmatch(stated):  # on a system without links, the cache does not have hashes
        return True
    return stated == (sha256_of(path) if len(stated) == 64 else git_id_of(path))
