"""Files from the Hugging Face Hub, each checked against what the Hub states of it."""

import contextlib
import dataclasses
import importlib
import re
import urllib.parse
import warnings
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from keras_crate.files import cache_folder, git_id_of, read_record, sha256_of, write_record

SCHEME = "hf://"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(
    r"(?!.*(--|\.\.))(?!.*\.git$)\w[\w.-]{0,95}(?<![.-])/\w[\w.-]{0,95}(?<![.-])", re.A
)


class Address(NamedTuple):
    """A repository on the Hub, and a branch, tag or commit of it, or None for `main`."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return SCHEME + self.repository + (f"@{self.revision}" if self.revision else "")


def parse_address(address: str, revision: str | None = None) -> Address:
    """Reads `hf://user/repository` or `hf://user/repository@revision`.

    Args:
        address: The address.
        revision: Given apart from it.

    Raises:
        ValueError: If it is no such address, or names two revisions.
    """
    name, _, inside = str(address).removeprefix(SCHEME).partition("@")
    if not str(address).startswith(SCHEME) or not _REPOSITORY.fullmatch(name):
        raise ValueError(
            'An address on the Hub is "hf://user/repository" or '
            f'"hf://user/repository@revision". Received: {str(address)!r}'
        )
    if inside and revision and inside != revision:
        raise ValueError(
            f"The address {address} names a revision, and `revision={revision!r}` another."
        )
    return Address(name, inside or revision or None)


@dataclasses.dataclass(frozen=True)
class HubFile:
    """What the Hub states of a file.

    Attributes:
        size: Bytes.
        sha256: Of the content, for large files.
        git_id: Of the content, for others.
    """

    size: int
    sha256: str | None = None
    git_id: str | None = None

    def fault(self, path: Path) -> str | None:
        """What is wrong with a file's content, or None."""
        size = path.stat().st_size
        if size != self.size:
            return f"it has {size} bytes instead of {self.size}"
        expected, found = (
            (self.sha256, sha256_of(path)) if self.sha256 else (self.git_id, git_id_of(path))
        )
        if found != expected:
            return f"its hash is {found[:12]}... instead of {expected[:12]}..."
        return None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit.

    Attributes:
        repository: Its name.
        commit: The commit.
        files: What the Hub states of each file, by path.
    """

    repository: str
    commit: str
    files: dict[str, HubFile]

    def __str__(self) -> str:
        return f"{SCHEME}{self.repository}@{self.commit[:12]}"


def snapshot(address: Address) -> Snapshot:
    """What a repository holds at a revision.

    A commit seen before is not asked for again. Where the Hub cannot be
    reached, or may not (`HF_HUB_OFFLINE`), the commit that is in the client's
    cache for this revision is taken.

    Args:
        address: Repository and revision.

    Raises:
        FileNotFoundError: If there is no such repository or revision, or it
            may not be read.
        OSError: If the Hub cannot be reached and nothing is in the cache.
        ValueError: If the repository has a path that leads out of it.
    """
    if address.revision and _COMMIT.fullmatch(address.revision):
        known = _recalled(address.repository, address.revision)
        if known is not None:
            return known
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(library_name="keras_crate")
    try:
        commit = api.model_info(address.repository, revision=address.revision).sha
        _remember(_revision_record(address), {"commit": commit})
        known = _recalled(address.repository, commit)
        if known is not None:
            return known
        entries = list(api.list_repo_tree(address.repository, recursive=True, revision=commit))
    except HfHubHTTPError as error:
        raise _refusal(address, error) from None
    except (OfflineModeIsEnabled, *transport_errors()) as error:
        cached = _cached_commit(address)
        if cached is not None:
            return cached
        raise OSError(
            f"{address} was not downloaded before, and the Hub cannot be reached "
            f"({reason_of(error)}). Its address is {api.endpoint}, unless HF_ENDPOINT says another."
        ) from None
    files = {}
    for entry in entries:
        _check_path(address, entry.path)
        if hasattr(entry, "blob_id"):
            lfs = entry.lfs
            files[entry.path] = HubFile(
                size=lfs.size if lfs else entry.size,
                sha256=lfs.sha256 if lfs else None,
                git_id=None if lfs else entry.blob_id,
            )
    found = Snapshot(address.repository, commit, files)
    record = {path: dataclasses.asdict(file) for path, file in files.items()}
    _remember(_record(address.repository, commit), record)
    return found


def download(snap: Snapshot, paths) -> dict[str, Path]:
    """Files of a snapshot on this machine, whose content is what the Hub states.

    A file that is in the cache and damaged is downloaded again, with a
    warning that says so.

    Args:
        snap: The snapshot.
        paths: Paths in it.

    Returns:
        A local path for each.

    Raises:
        FileNotFoundError: If the repository has no such file.
        ValueError: If what the Hub sends is not what it states.
        OSError: If the Hub cannot be reached.
    """
    return {path: _checked(snap, path) for path in paths}


def _checked(snap: Snapshot, path: str) -> Path:
    stated = snap.files.get(path)
    if stated is None:
        raise FileNotFoundError(
            f"{snap} has no file {path}. It has: {', '.join(sorted(snap.files)) or 'no files'}"
        )
    local = _fetch(snap, path)
    fault = stated.fault(local)
    if fault is None:
        return local
    damaged = f"The cached file {path} of {snap} is damaged: {fault}."
    try:
        local = _fetch(snap, path, force_download=True)
    except (OSError, ValueError) as error:  # the client's, where it may not ask the Hub
        raise OSError(f"{damaged} To mend it, it must be downloaded again. {error}") from None
    warnings.warn(f"{damaged} It was downloaded again.", stacklevel=5)
    fault = stated.fault(local)
    if fault is not None:
        _discard(local)
        raise ValueError(
            f"The file {path} of {snap} is not what the Hub states of it: {fault}. It was "
            "discarded and nothing was loaded. Try again, by another network if it stays so."
        )
    return local


def _fetch(snap: Snapshot, path: str, force_download: bool = False) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            hf_hub_download(
                snap.repository,
                path,
                revision=snap.commit,
                force_download=force_download,
                library_name="keras_crate",
            )
        )
    except LocalEntryNotFoundError as error:
        raise OSError(
            f"The file {path} of {snap} is not in the cache, and the Hub cannot be reached "
            f"({reason_of(error.__cause__ or error)})."
        ) from None
    except HfHubHTTPError as error:
        raise _refusal(Address(snap.repository, snap.commit), error) from None
    except (OSError, *transport_errors()) as error:
        raise OSError(f"The download of {path} of {snap} failed: {reason_of(error)}.") from None


def _discard(local: Path) -> None:
    """Removes a file from the client's cache, with the content that its link points to."""
    local.resolve().unlink(missing_ok=True)
    local.unlink(missing_ok=True)


def _cached_commit(address: Address) -> Snapshot | None:
    """The commit that a revision was when the Hub was last asked for it."""
    record = read_record(_revision_record(address)) or {}
    return _recalled(address.repository, record.get("commit", address.revision or ""))


def _revision_record(address: Address) -> Path:
    revision = urllib.parse.quote(address.revision or "main", safe="")
    return _record(address.repository, f"revision-{revision}")


def _remember(path: Path, record: dict) -> None:
    """Notes what spares a question to the Hub; where it cannot be noted, that is asked again."""
    with contextlib.suppress(OSError):
        write_record(path, record)


def _record(repository: str, name: str) -> Path:
    return cache_folder() / "repositories" / repository.replace("/", "--") / f"{name}.json"


def _recalled(repository: str, commit: str) -> Snapshot | None:
    try:
        record = read_record(_record(repository, commit)) or {}
        files = {path: HubFile(**stated) for path, stated in record.items()}
    except TypeError:
        return None
    whole = files and all(file.sha256 or file.git_id for file in files.values())
    return Snapshot(repository, commit, files) if whole else None


def _check_path(address: Address, path: str) -> None:
    parts = PurePosixPath(path).parts
    if not path or path.startswith("/") or "\\" in path or ".." in parts or ":" in path:
        raise ValueError(
            f"{address} holds the path {path!r}, which leads out of the repository. Nothing was "
            "downloaded."
        )


def _refusal(address: Address, error) -> OSError:
    """What an answer of the Hub means, in words. The client's own may quote the request."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = getattr(error.response, "status_code", "?")
    if isinstance(error, GatedRepoError):
        return FileNotFoundError(
            f"{address} is gated: ask for access on its page on the Hub, then log in with "
            "`hf auth login`."
        )
    if isinstance(error, RepositoryNotFoundError):
        return FileNotFoundError(
            f"There is no repository {SCHEME}{address.repository}, or it is private and you are "
            "not logged in as somebody who may read it (`hf auth login`)."
        )
    if isinstance(error, RevisionNotFoundError):
        return FileNotFoundError(
            f"{SCHEME}{address.repository} has no branch, tag or commit {address.revision!r}."
        )
    return OSError(f"The Hub refused {address}: status {status}. Try again later.")


def transport_errors() -> tuple[type[BaseException], ...]:
    """What the client raises where no answer comes, by the HTTP library it is built on."""
    found = []
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(name).HTTPError)
    return tuple(found)


def reason_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
