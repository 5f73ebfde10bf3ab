"""Commits to repositories on the Hugging Face Hub."""

from collections.abc import Callable
from pathlib import Path

from keras_crate.weights.hub_errors import explained, had_no_answer, hub_errors
from keras_crate.weights.hub_files import SCHEME, Address


def writer(where: Address, token: str | None):
    """Returns a client of the Hub that may write to a repository."""
    import huggingface_hub

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
    _check_owner(api, where)
    return api


def commit(
    api,
    where: Address,
    files: dict[str, Path],
    private: bool,
    message: str,
    is_ours: Callable[[str], bool],
    kind: str = "model",
) -> str:
    """Writes files, by their paths, to a repository in one commit, and returns its address.

    The repository and branch are made if needed. `is_ours` says of the path of another
    file whether it is deleted. An error says whether the files were published, or that
    this is not known.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    there = {"repo_id": where.repository, "repo_type": kind}
    sdk = {"space_sdk": "gradio"} if kind == "space" else {}
    with _not_published(api, where):
        api.create_repo(**there, **sdk, private=private, exist_ok=True)
        is_private = api.repo_info(**there).private
    if private and not is_private:
        raise PermissionError(
            f"{SCHEME}{where.repository} is there already and is public. Nothing was published. "
            "Make it private in its settings on the Hub, or choose another name."
        )
    there["revision"] = where.revision
    with _not_published(api, where):
        if where.revision not in (None, "main"):
            api.create_branch(
                where.repository, repo_type=kind, branch=where.revision, exist_ok=True
            )
        newest = api.repo_info(**there)  # one answer: the pages of a listing may never end
        old = {sibling.rfilename for sibling in newest.siblings or ()} - files.keys()
        add = [CommitOperationAdd(name, path) for name, path in files.items()]
        operations = [*add, *map(CommitOperationDelete, sorted(filter(is_ours, old)))]
        api.preupload_lfs_files(where.repository, add, repo_type=kind, revision=where.revision)
    try:
        info = api.create_commit(**there, operations=operations, commit_message=message)
        return str(info.commit_url)
    except Exception as error:
        if _was_refused(api, there, newest.sha, error):
            failed = f"{where} was not published"
        else:
            failed = (
                f"It is not known whether {where} was published. Look for the commit {message!r} "
                f"at {api.endpoint}/{'spaces/' * (kind == 'space')}{where.repository}/commits/"
                f"{where.revision or 'main'}, or push again, which does no harm.\nThe reason"
            )
        raise explained(error, str(where), failed, api.token) from None


def _not_published(api, where: Address):
    return hub_errors(str(where), f"{where} was not published", api.token)


def _was_refused(api, there: dict, head: str, error: Exception) -> bool:
    """Whether a commit that failed was certainly not made: the newest commit is still `head`."""
    if had_no_answer(error):
        return False
    try:
        return api.repo_info(**there).sha == head
    except Exception:  # of many kinds, as for any broken answer
        return False


def _check_owner(api, where: Address) -> None:
    """Refuses another user's repository, and a token that may only read."""
    repository = where.repository
    with _not_published(api, where):
        who = api.whoami()
        names = [who["name"], *(organisation["name"] for organisation in who.get("orgs") or [])]
        role = who.get("auth", {}).get("accessToken", {}).get("role")
    owner = repository.partition("/")[0]
    if owner not in names:
        raise PermissionError(
            f"{SCHEME}{repository} is not yours: you are {names[0]}"
            + (f" and belong to {', '.join(names[1:])}" if names[1:] else "")
            + f". Publish as {SCHEME}{names[0]}/{repository.partition('/')[2]}."
        )
    if role == "read":
        raise PermissionError(
            "Your token of the Hub may only read. Make one that may write, in the settings of "
            "your account, and log in with it (`hf auth login`)."
        )
