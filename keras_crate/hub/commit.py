"""Commits to repositories on the Hugging Face Hub."""

import contextlib
from collections.abc import Callable
from pathlib import Path

from keras_crate.weights.hub_files import SCHEME, Address, reason_of, transport_errors


@contextlib.contextmanager
def writing(where: Address, token: str | None):
    """Yields a client of the Hub that may write to a repository, for a `with` statement.

    Args:
        where: The repository.
        token: Token of the Hub. By default, that of `HF_TOKEN` or `hf auth login`.

    Yields:
        A `huggingface_hub.HfApi`. Its errors become `PermissionError` or `OSError`, without
        the token.

    Raises:
        ValueError: If there is no token.
        PermissionError: If the repository is not the user's, or the token may only read.
        OSError: If the Hub cannot be reached or refuses.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if token is None:
        token = huggingface_hub.get_token()
    token = (token or "").strip()
    if not token:
        raise ValueError(
            "There is no token of the Hub to publish with. Log in with `hf auth login`, or set "
            "HF_TOKEN to a token that may write."
        )
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("`token` must be a token of the Hub: one word of plain characters.")
    api = huggingface_hub.HfApi(token=token, library_name="keras_crate")
    try:
        _check_owner(api, where.repository)
        yield api
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        kind = PermissionError if status in (401, 403) else OSError
        text = " ".join(str(error).split()).replace(token, "***")[:300]
        raise kind(f"{where} was not published: the Hub answered {status}. {text}") from None
    except (OfflineModeIsEnabled, *transport_errors()) as error:
        reason = reason_of(error).replace(token, "***")
        raise OSError(f"{where} was not published: the Hub cannot be reached ({reason}).") from None
    except Exception as error:
        if token in str(error):
            raise OSError(f"{where} was not published.") from None
        raise


def commit(
    api,
    where: Address,
    files: dict[str, Path],
    private: bool,
    message: str,
    is_ours: Callable[[str], bool],
    kind: str = "model",
) -> str:
    """Writes files to a repository in one commit. The repository and branch are made if needed.

    Args:
        api: A client that may write to it.
        where: The repository and branch.
        files: The files by their path in the repository.
        private: Whether the repository is private. An existing public one is refused.
        message: Message of the commit.
        is_ours: Says of the path of a file that is not among `files` whether it is deleted.
        kind: `"model"` or `"space"`.

    Returns:
        Address of the commit.

    Raises:
        PermissionError: If the repository is public and `private` is True.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = {"repo_id": where.repository, "repo_type": kind}
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    api.create_repo(**there, **sdk, private=private, exist_ok=True)
    if private and not api.repo_info(**there).private:
        raise PermissionError(
            f"{SCHEME}{where.repository} is there already and is public. Nothing was published. "
            "Make it private in its settings on the Hub, or choose another name."
        )
    if where.revision not in (None, "main"):
        api.create_branch(**there, branch=where.revision, exist_ok=True)
    tree = api.list_repo_tree(**there, revision=where.revision, recursive=True)
    old = {entry.path for entry in tree if hasattr(entry, "blob_id")} - files.keys()
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    operations += [CommitOperationDelete(name) for name in sorted(filter(is_ours, old))]
    info = api.create_commit(
        **there, operations=operations, commit_message=message, revision=where.revision
    )
    return str(info.commit_url)


def _check_owner(api, repository: str) -> None:
    """Refuses another user's repository, and a token that may only read."""
    who = api.whoami()
    names = [who["name"], *(organisation["name"] for organisation in who.get("orgs") or [])]
    owner = repository.partition("/")[0]
    if owner not in names:
        raise PermissionError(
            f"{SCHEME}{repository} is not yours: you are {names[0]}"
            + (f" and belong to {', '.join(names[1:])}" if names[1:] else "")
            + f". Publish as {SCHEME}{names[0]}/{repository.partition('/')[2]}."
        )
    role = who.get("auth", {}).get("accessToken", {}).get("role")
    if role == "read":
        raise PermissionError(
            "Your token of the Hub may only read. Make one that may write, in the settings of "
            "your account, and log in with it (`hf auth login`)."
        )
