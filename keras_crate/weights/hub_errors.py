"""Errors of the Hub's client, as errors of this package."""

import contextlib
import importlib
from typing import Any


@contextlib.contextmanager
def hub_errors(address: str, failed: str, token: str | None = None):
    """Turns what the client raises in the `with` statement into one short error.

    Only calls of the client, and reads of its answers, belong into the statement: an
    answer that the client does not expect raises errors of any kind. The message begins
    with `failed`. The token is cut out of it.
    """
    try:
        yield
    except ImportError:  # of a package for SOCKS proxies, for example
        raise
    except Exception as error:
        raise explained(error, address, failed, token) from None


def explained(error: BaseException, address: str, failed: str, token: str | None = None) -> OSError:
    """Returns the error that `hub_errors` raises for an error of the client."""
    from huggingface_hub import get_token

    kind, message = _explained(_cause(error), address, failed)
    token = token or get_token()
    return kind(message.replace(token, "***") if token else message)


def status_of(error: BaseException) -> int | None:
    """The status that the Hub or its storage refused a request with, if it did."""
    return getattr(getattr(_cause(error), "response", None), "status_code", None)


def had_no_answer(error: BaseException) -> bool:
    """Whether a request was sent that was not answered: it may still take effect."""
    status = status_of(error)
    return status == 504 or (status is None and isinstance(_cause(error), _transport_errors()))


def _explained(error: Any, address: str, failed: str) -> tuple[type[OSError], str]:
    from huggingface_hub import errors

    repository, _, revision = address.partition("@")
    status = status_of(error)
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(error, errors.GatedRepoError):
        return FileNotFoundError, (
            f"{failed}: {repository} is gated. Ask for access on its page on the Hub, then log in "
            "with `hf auth login`."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return FileNotFoundError, (
            f"{failed}: there is no repository {repository}, or it is private and you are not "
            "logged in as a user who may read it (`hf auth login`)."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return FileNotFoundError, (
            f"{failed}: {repository} has no branch, tag or commit {revision or 'main'!r}."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return OSError, f"{failed}: the Hub cannot be reached, since HF_HUB_OFFLINE is set."
    if isinstance(error, errors.LocalEntryNotFoundError):
        return OSError, (
            f"{failed}: it is not in the cache, and the Hub cannot be reached ({reason}).\n"
            "HF_ENDPOINT sets the Hub's address."
        )
    if isinstance(error, errors.EntryNotFoundError):
        return FileNotFoundError, f"{failed}: there is no such file in {address}."
    if status == 401:
        return PermissionError, (
            f"{failed}: the Hub does not accept your token (status 401).\nLog in again "
            "(`hf auth login`), or set HF_TOKEN to a valid token. To read public models, no token "
            "is needed: unset HF_TOKEN."
        )
    if status == 403:
        return PermissionError, (
            f"{failed}: your token does not allow this (status 403).\nUse a token with that right "
            "(`hf auth login` or HF_TOKEN), or ask the owner of the repository."
        )
    if status is not None:
        wait = error.response.headers.get("Retry-After") if status == 429 else None
        when = f"in {wait} s" if wait and wait.isdigit() else "later"
        said = " ".join((getattr(error, "server_message", None) or "").split())[:120]
        said = f", {said!r}" if said else ""
        return OSError, f"{failed}: the Hub answered with status {status}{said}. Try again {when}."
    if isinstance(error, _transport_errors()):
        return OSError, (
            f"{failed}: the Hub cannot be reached, or the connection broke off ({reason}).\nTry "
            "again. HF_ENDPOINT sets the Hub's address."
        )
    if isinstance(error, OSError) and error.errno is not None:
        return OSError, f"{failed}: {error.strerror} ({error.filename or 'a file'})."
    return OSError, (
        f"{failed}: the Hub's answer is not one of a Hub ({type(error).__name__}: {reason}).\nA "
        "proxy or the login page of a network may have answered. Try again, on another network "
        "if that fails. HF_ENDPOINT sets the Hub's address."
    )


def _cause(error: BaseException) -> BaseException:
    """The refusal or the broken connection that led to an error of the client, or the error."""
    from huggingface_hub.errors import HfHubHTTPError

    wanted, found = (HfHubHTTPError, *_transport_errors()), error
    while not isinstance(found, wanted):
        following = found.__cause__ or found.__context__
        if following is None:
            return error
        found = following
    return found


def _transport_errors() -> tuple[type[BaseException], ...]:
    """Errors of the client's HTTP library for requests that got no answer."""
    found = []
    for name in ("httpx2", "httpx"):
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(name).HTTPError)
    return tuple(found)
