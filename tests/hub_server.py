"""A small Hugging Face Hub for tests: it answers the unmodified `huggingface_hub` client.

It knows repositories of models and Spaces, branches, commits, Git LFS uploads by the basic
transfer, downloads with byte ranges, users by token, and the Hub's error codes. `Fault` scripts its
misbehaviour.

The client reads its settings at import, so it runs in a process of its own:

    with HubServer() as hub:
        hub.add_repository("writer/model", {"config.json": b"{}"})
        environment = {**os.environ, **hub.environment(tmp_path)}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
"""

import base64
import codecs
import hashlib
import json
import os
import re
import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

SPACES = "spaces/"  # how the name of a Space begins here; those of models have no such beginning
LFS_SUFFIXES = (".h5", ".keras", ".safetensors", ".pth", ".npz", ".png")


@dataclass(frozen=True)
class User:
    """Whom a token belongs to; `role` is the token's: "write" or "read"."""

    name: str
    orgs: tuple[str, ...] = ()
    role: str = "write"

    def owns(self, repository: str) -> bool:
        """Say whether the repository is in a namespace of this user."""
        return repository.removeprefix(SPACES).split("/")[0] in (self.name, *self.orgs)


DEFAULT_USERS = {
    "hf_writer": User("writer", orgs=("keras-crate",)),
    "hf_reader": User("reader", role="read"),
}


@dataclass
class Fault:
    """One scripted misbehaviour; of several that match a request, the first in the list acts.

    With `status` the request is refused before it has any effect. `body`, `truncate` and `corrupt`
    spoil the true answer of a request that took effect. A client that has gone by the end of a
    `stall` is not answered, and its request has no effect.

    Args:
        method: the HTTP method, or "*" for all.
        path: regular expression, searched in the unquoted path (without the query).
        status: answer this status instead of the true answer.
        error_code: the Hub's code for the error, e.g. "RepoNotFound" or "GatedRepo".
        message: text of the error; the status' own phrase if empty.
        headers: further headers of the answer, e.g. `{"Retry-After": "0"}`.
        body: this body in place of the true one, or a function of the true one.
        truncate: send so many bytes of the body, then close the connection.
        corrupt: flip one byte of the body.
        stall: seconds to wait before anything else; the request is noted first.
        times: how often it happens; None: always.
        after: let this many matching requests pass first.
    """

    method: str
    path: str
    status: int | None = None
    error_code: str = ""
    message: str = ""
    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes | Callable[[bytes], bytes] | None = None
    truncate: int | None = None
    corrupt: bool = False
    stall: float = 0.0
    times: int | None = None
    after: int = 0
    seen: int = field(default=0, init=False, compare=False)

    def strikes(self, method: str, path: str) -> bool:
        """Count a request if it matches; say whether the fault happens to it."""
        if self.method not in ("*", method) or not re.search(self.path, path):
            return False
        self.seen += 1
        return self.seen > self.after and (
            self.times is None or self.seen <= self.after + self.times
        )


class Request(NamedTuple):
    """A request as it arrived: unquoted path without the query, lower-case header names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class File:
    """A file of a commit: the SHA-256 of its content, its size, its git object id."""

    sha256: str
    size: int
    oid: str
    pointer_size: int | None = None

    @classmethod
    def of(cls, content: bytes, lfs: bool) -> "File":
        """Describe a content; under LFS, git holds a pointer in its place."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not lfs:
            return cls(sha256, len(content), git_blob_id(content))
        pointer = "version https://git-lfs.github.com/spec/v1\n"
        pointer += f"oid sha256:{sha256}\nsize {len(content)}\n"
        return cls(sha256, len(content), git_blob_id(pointer.encode()), len(pointer))

    @property
    def lfs(self) -> bool:
        """Whether the file is stored under Git LFS."""
        return self.pointer_size is not None

    @property
    def etag(self) -> str:
        """What the Hub names the content by: SHA-256 under LFS, git's id otherwise."""
        return self.sha256 if self.lfs else self.oid

    def entry(self, path: str) -> dict[str, Any]:
        """Describe the file as the Hub's tree listing does."""
        entry = {"type": "file", "oid": self.oid, "size": self.size, "path": path}
        if self.lfs:
            entry["lfs"] = {
                "oid": self.sha256,
                "size": self.size,
                "pointerSize": self.pointer_size,
            }
        return entry


@dataclass(frozen=True)
class Commit:
    """A commit and the whole tree it stands for."""

    parent: str | None
    title: str
    date: str
    files: dict[str, File]

    def listing(self) -> dict[str, dict[str, Any]]:
        """Describe all files and folders, by path."""
        entries = {path: file.entry(path) for path, file in self.files.items()}
        for folder in {folder for path in self.files for folder in folders_of(path)}:
            inside = [
                (path, file.oid)
                for path, file in sorted(self.files.items())
                if path.startswith(f"{folder}/")
            ]
            entries[folder] = {
                "type": "directory",
                "oid": hashlib.sha1(json.dumps(inside).encode()).hexdigest(),
                "size": 0,
                "path": folder,
            }
        return dict(sorted(entries.items()))


@dataclass
class Repository:
    """Branches, commits, and the LFS objects that were uploaded to the repository."""

    name: str
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)

    def is_open_to(self, user: User | None) -> bool:
        """Say whether a user, or a stranger without a token, may read the repository."""
        return not self.private or (user is not None and user.owns(self.name))

    def find(self, revision: str) -> str | None:
        """Return the id of the commit that a branch or a commit id stands for."""
        return self.branches.get(revision, revision if revision in self.commits else None)

    def history(self, commit_id: str | None) -> Iterator[tuple[str, Commit]]:
        """Go from a commit back to the first one."""
        while commit_id is not None:
            commit = self.commits[commit_id]
            yield commit_id, commit
            commit_id = commit.parent

    def commit(self, branch: str, parent: str | None, title: str, files: dict[str, File]) -> str:
        """Put a commit on top of a branch."""
        date = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        commit = Commit(parent, title, date, files)
        content = json.dumps([self.name, len(self.commits), asdict(commit)])
        commit_id = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit_id] = commit
        self.branches[branch] = commit_id
        return commit_id

    def last_change(self, commit_id: str, path: str) -> dict[str, str]:
        """Describe the commit that last changed a file or folder."""
        commits = self.history(commit_id)
        found, commit = next(commits)
        oid = commit.listing()[path]["oid"]
        for older_id, older in commits:
            if older.listing().get(path, {}).get("oid") != oid:
                break
            found, commit = older_id, older
        return {"id": found, "title": commit.title, "date": commit.date}


class Store:
    """Repositories and contents, in memory or in a folder."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.repositories: dict[str, Repository] = {}
        self._contents: dict[str, bytes] = {}
        if folder is not None:
            (folder / "blobs").mkdir(parents=True, exist_ok=True)
            if (folder / "repositories.json").exists():
                saved = json.loads((folder / "repositories.json").read_text())
                self.repositories = {name: _loaded(values) for name, values in saved.items()}

    def write(self, content: bytes) -> str:
        """Keep a content; return its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self.folder is None:
            self._contents[sha256] = content
        else:
            _write_whole(self.folder / "blobs" / sha256, content)
        return sha256

    def read(self, sha256: str) -> bytes:
        """Return a kept content."""
        if self.folder is None:
            return self._contents[sha256]
        return (self.folder / "blobs" / sha256).read_bytes()

    def save(self) -> None:
        """Write the repositories to the folder, if there is one."""
        if self.folder is not None:
            values = {name: asdict(found) for name, found in self.repositories.items()}
            text = json.dumps(values, default=sorted)
            _write_whole(self.folder / "repositories.json", text.encode())


class Refusal(Exception):
    """An error answer, with the Hub's code for it if it has one."""

    def __init__(self, status: int, message: str, code: str = "", headers: dict | None = None):
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = headers or {}


@dataclass
class Answer:
    """What is sent back."""

    status: int
    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    type: str = "application/json"

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Answer":
        """Answer with a JSON document."""
        return cls(status, json.dumps(value).encode())

    @classmethod
    def error(cls, refusal: Refusal) -> "Answer":
        """Answer with an error in the Hub's form."""
        # A header holds one line of Latin-1; the body has the message in full.
        line = " ".join(refusal.message.split()).encode("ascii", "replace").decode()
        headers = {"X-Error-Message": line, **refusal.headers}
        if refusal.code:
            headers["X-Error-Code"] = refusal.code
        body = json.dumps({"error": refusal.message}).encode()
        return cls(refusal.status, body, headers)


@dataclass
class Call:
    """A request on its way to its route, with the unquoted parts of the path."""

    request: Request
    user: User | None
    parts: dict[str, str]
    query: dict[str, str]

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.request.body or b"{}")


class HubServer:
    """A Hub on a free port of this machine, for the time of a `with` block.

    Args:
        storage: folder that keeps repositories and contents between servers; None: memory only.
        users: users by token; by default `hf_writer` (user writer, organization keras-crate) and
            `hf_reader` (user reader, a read-only token).

    Attributes:
        endpoint: the address, for `HF_ENDPOINT`.
        requests: all complete requests, in order of arrival.
        faults: the misbehaviour; may change at any time.
    """

    def __init__(self, storage: Path | None = None, users: dict[str, User] | None = None):
        self.users = dict(DEFAULT_USERS if users is None else users)
        self.endpoint = ""
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._store = Store(None if storage is None else Path(storage))
        self._lock = threading.RLock()
        self._stopping = threading.Event()

    def __enter__(self) -> "HubServer":
        """Start to answer."""
        self._stopping.clear()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, and cut all connections."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()
        self._thread.join()

    def add_repository(
        self,
        name: str,
        files: dict[str, bytes],
        private: bool = False,
        revision: str = "main",
        lfs: Callable[[str, bytes], bool] | None = None,
    ) -> str:
        """Create a repository, or add a commit to it; the files are its whole tree.

        Args:
            name: `user/name`.
            files: contents by path; the paths are taken as they are, even `../x`.
            private: whether strangers see it; only heeded at creation.
            revision: the branch; a new one starts from main.
            lfs: says of a path and its content whether it is stored under LFS.

        Returns:
            The 40-digit id of the commit.
        """
        with self._lock:
            for content in files.values():
                self._store.write(content)
            tree = {
                path: File.of(content, (lfs or lfs_by_default)(path, content))
                for path, content in files.items()
            }
            repository = self._store.repositories.setdefault(name, Repository(name, private))
            repository.lfs |= {file.sha256 for file in tree.values() if file.lfs}
            parent = repository.find(revision) or repository.find("main")
            commit_id = repository.commit(revision, parent, "Add files", tree)
            self._store.save()
            return commit_id

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """Return the contents of a repository, by path; KeyError if there is none."""
        with self._lock:
            repository = self._store.repositories[name]
            files = repository.commits[repository.find(revision) or revision].files
            return {path: self._store.read(file.sha256) for path, file in files.items()}

    def commits(self, name: str, revision: str = "main") -> list[str]:
        """Return the ids of the commits of a branch, newest first; KeyError if there is none."""
        with self._lock:
            repository = self._store.repositories[name]
            found = repository.find(revision) or revision
            return [commit_id for commit_id, _ in repository.history(found)]

    def environment(self, home: Path, token: str | None = "hf_writer") -> dict[str, str]:
        """Return the variables that send the client here; put them over `os.environ`.

        Args:
            home: the client's own folder, for its cache; best an empty one.
            token: the client's token; None: it has none.
        """
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(Path(home) / "hub"),
            "HF_TOKEN_PATH": str(Path(home) / "token"),
            "HF_TOKEN": token or "",
            "HUGGING_FACE_HUB_TOKEN": "",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def receive(self, request: Request) -> Fault | None:
        """Note a request; return the fault that happens to it."""
        with self._lock:
            self.requests.append(request)
            faults = (f for f in self.faults if f.strikes(request.method, request.path))
            return next(faults, None)

    def answer(self, request: Request, target: str) -> Answer:
        """Answer a request truthfully; `target` is its quoted path with the query."""
        url = urlsplit(target)
        method = "GET" if request.method == "HEAD" else request.method
        with self._lock:
            try:
                user = self._user(request)
                for verb, pattern, route in _ROUTES:
                    match = pattern.fullmatch(url.path) if verb == method else None
                    if match:
                        parts = {
                            key: unquote(part or "") for key, part in match.groupdict().items()
                        }
                        call = Call(request, user, parts, dict(parse_qsl(url.query)))
                        return route(self, call)
                # Not 404: the client would take that for a missing repository or file.
                raise Refusal(501, f"There is no route for {request.method} {request.path}")
            except Refusal as refusal:
                return Answer.error(refusal)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                return Answer.error(Refusal(400, f"Malformed request: {error!r}"))

    def wait(self, seconds: float) -> bool:
        """Wait; return early, and True, if the server is being stopped."""
        return self._stopping.wait(seconds)

    def _user(self, request: Request) -> User | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.users:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.users.get(token)

    def _readable(self, call: Call) -> Repository:
        repository = self._store.repositories.get(call.parts["name"])
        if repository is not None and repository.is_open_to(call.user):
            return repository
        # The Hub does not tell strangers a private repository from a missing one.
        if call.user is None:
            raise Refusal(401, "Invalid username or password.", "RepoNotFound")
        raise Refusal(404, "Repository not found", "RepoNotFound")

    def _writable(self, call: Call) -> Repository:
        repository = self._readable(call)
        self._check_writer(call, repository.name)
        return repository

    def _check_writer(self, call: Call, name: str) -> None:
        if call.user is None:
            raise Refusal(401, "Invalid username or password.")
        if call.user.role == "read" or not call.user.owns(name):
            raise Refusal(403, f"You don't have the rights to write to {name}")

    def _found(self, repository: Repository, revision: str) -> str:
        commit_id = repository.find(revision)
        if commit_id is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit_id

    def _whoami(self, call: Call) -> Answer:
        if call.user is None:
            raise Refusal(401, "Invalid username or password.")
        return Answer.json(
            {
                "type": "user",
                "id": hashlib.sha1(call.user.name.encode()).hexdigest()[:24],
                "name": call.user.name,
                "fullname": call.user.name,
                "orgs": [{"type": "org", "name": name} for name in call.user.orgs],
                "auth": {
                    "type": "access_token",
                    "accessToken": {"displayName": "test", "role": call.user.role},
                },
            }
        )

    def _agent_harnesses(self, call: Call) -> Answer:
        # The client asks for this list once a day, whatever else it does.
        return Answer.json({"standardEnvVars": [], "harnesses": {}})

    def _validate_yaml(self, call: Call) -> Answer:
        return Answer.json({"errors": [], "warnings": []})

    def _create_repository(self, call: Call) -> Answer:
        wish = call.json()
        kind = wish.get("type", "model")
        if kind not in ("model", "space"):
            raise Refusal(501, "This Hub has only models and Spaces")
        if kind == "space" and not wish.get("sdk"):
            raise Refusal(400, "A Space needs an sdk")
        namespace = wish.get("organization") or (call.user.name if call.user else "")
        name = f"{SPACES if kind == 'space' else ''}{namespace}/{wish['name']}"
        self._check_writer(call, name)
        url = f"{self.endpoint}/{name}"
        if name in self._store.repositories:
            error = f"You already created this {kind} repo"
            return Answer.json({"error": error, "url": url}, status=409)
        repository = Repository(name, wish.get("visibility") == "private")
        repository.commit("main", None, "initial commit", {})
        self._store.repositories[name] = repository
        self._store.save()
        return Answer.json({"url": url, "name": name, "id": name})

    def _create_branch(self, call: Call) -> Answer:
        repository, branch = self._writable(call), call.parts["revision"]
        if branch in repository.branches:
            raise Refusal(409, f"Reference already exists: {branch}")
        start = self._found(repository, call.json().get("startingPoint", "main"))
        repository.branches[branch] = start
        self._store.save()
        return Answer.json({"success": True})

    def _info(self, call: Call) -> Answer:
        repository = self._readable(call)
        found = self._found(repository, call.parts.get("revision", "main"))
        commit = repository.commits[found]
        siblings = []
        for path, file in sorted(commit.files.items()):
            sibling: dict[str, Any] = {"rfilename": path}
            if call.query.get("blobs") == "true":
                sibling |= {"size": file.size, "blobId": file.oid}
                if file.lfs:
                    lfs = file.entry(path)["lfs"]
                    sibling["lfs"] = {**lfs, "sha256": lfs["oid"]}
            siblings.append(sibling)
        return Answer.json(
            {
                "id": repository.name,
                "modelId": repository.name,
                "author": repository.name.split("/")[-2],
                "sha": found,
                "lastModified": commit.date,
                "private": repository.private,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": siblings,
            }
        )

    def _refs(self, call: Call) -> Answer:
        repository = self._readable(call)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit_id}
            for name, commit_id in repository.branches.items()
        ]
        return Answer.json({"branches": branches, "tags": [], "converts": [], "pullRequests": []})

    def _tree(self, call: Call) -> Answer:
        repository = self._readable(call)
        found = self._found(repository, call.parts["revision"])
        listing = repository.commits[found].listing()
        folder = call.parts["path"].strip("/")
        if folder and listing.get(folder, {}).get("type") != "directory":
            raise Refusal(404, f"{folder} does not exist on {found}", "EntryNotFound")
        prefix = f"{folder}/" if folder else ""
        entries = [entry for path, entry in listing.items() if path.startswith(prefix)]
        if call.query.get("recursive") != "true":
            entries = [entry for entry in entries if "/" not in entry["path"][len(prefix) :]]
        if call.query.get("expand") == "true":
            entries = [_expanded(repository, found, entry) for entry in entries]
        return Answer.json(entries)

    def _paths_info(self, call: Call) -> Answer:
        repository = self._readable(call)
        found = self._found(repository, call.parts["revision"])
        form = parse_qs(call.request.body.decode())
        listing = repository.commits[found].listing()
        entries = [listing[path] for path in form.get("paths", ()) if path in listing]
        if form.get("expand") == ["true"]:
            entries = [_expanded(repository, found, entry) for entry in entries]
        return Answer.json(entries)

    def _preupload(self, call: Call) -> Answer:
        repository = self._writable(call)
        tree = repository.commits[self._found(repository, call.parts["revision"])].files
        answers = []
        for wish in call.json()["files"]:
            path = wish["path"]
            lfs = lfs_by_default(path, base64.b64decode(wish["sample"]))
            mode = "lfs" if lfs else "regular"
            answer = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in tree:
                answer["oid"] = tree[path].etag
            answers.append(answer)
        return Answer.json({"files": answers})

    def _lfs_batch(self, call: Call) -> Answer:
        repository, objects = self._writable(call), []
        for wish in call.json()["objects"]:
            answer = {"oid": wish["oid"], "size": wish["size"]}
            if wish["oid"] not in repository.lfs:
                href = f"{self.endpoint}/{repository.name}.git/lfs/{wish['oid']}"
                answer["actions"] = {
                    "upload": {"href": href, "header": {}},
                    "verify": {"href": f"{href}/verify"},
                }
            objects.append(answer)
        answer = Answer.json({"transfer": "basic", "objects": objects})
        answer.type = "application/vnd.git-lfs+json"
        return answer

    def _lfs_upload(self, call: Call) -> Answer:
        # The true upload address is signed: it comes without a token, so no user is asked for.
        repository, content = self._store.repositories[call.parts["name"]], call.request.body
        if hashlib.sha256(content).hexdigest() != call.parts["oid"]:
            raise Refusal(400, "The content does not match the object's id")
        repository.lfs.add(self._store.write(content))
        self._store.save()
        return Answer(200, b"", {"ETag": f'"{call.parts["oid"]}"'})

    def _lfs_verify(self, call: Call) -> Answer:
        repository, wish = self._writable(call), call.json()
        self._check_lfs(repository, wish["oid"], wish["size"])
        return Answer.json({})

    def _check_lfs(self, repository: Repository, oid: str, size: int | None) -> bytes:
        content = self._store.read(oid) if oid in repository.lfs else None
        if content is None or size not in (None, len(content)):
            raise Refusal(400, f"The LFS object {oid} of {size} bytes was not uploaded")
        return content

    def _commit(self, call: Call) -> Answer:
        repository, branch = self._writable(call), call.parts["revision"]
        if "create_pr" in call.query:
            raise Refusal(501, "This Hub has no pull requests")
        if branch not in repository.branches:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        parent = repository.branches[branch]
        header, *operations = (json.loads(line) for line in call.request.body.splitlines())
        if header["key"] != "header":
            raise Refusal(400, "A commit begins with its header")
        if header["value"].get("parentCommit") not in (None, parent):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        # A new dictionary, and no effect before the last operation is found good.
        files = dict(repository.commits[parent].files)
        for operation in operations:
            self._apply(repository, files, operation["key"], operation["value"])
        commit_id = repository.commit(branch, parent, header["value"]["summary"], files)
        self._store.save()
        url = f"{self.endpoint}/{repository.name}/commit/{commit_id}"
        return Answer.json({"success": True, "commitOid": commit_id, "commitUrl": url})

    def _apply(
        self, repository: Repository, files: dict[str, File], key: str, value: dict[str, Any]
    ) -> None:
        path = value["path"]
        if key == "file":
            content = base64.b64decode(value["content"])
            self._store.write(content)
            files[path] = File.of(content, lfs=False)
        elif key == "lfsFile":
            content = self._check_lfs(repository, value["oid"], value.get("size"))
            files[path] = File.of(content, lfs=True)
        elif key in ("deletedFile", "deletedFolder"):
            folder = path.rstrip("/") + "/"
            gone = [old for old in files if old.startswith(folder)]
            if key == "deletedFile":
                gone = [path] if path in files else []
            if not gone:
                raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
            for old in gone:
                del files[old]
        else:
            raise Refusal(400, f"Unknown operation {key}")

    def _resolve(self, call: Call) -> Answer:
        repository, path = self._readable(call), call.parts["path"]
        found = self._found(repository, call.parts["revision"])
        headers: dict[str, Any] = {"X-Repo-Commit": found}
        file = repository.commits[found].files.get(path)
        if file is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", headers)
        headers |= {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if file.lfs:
            headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": file.size}
        content, status = self._store.read(file.sha256), 200
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", call.request.headers.get("range", ""))
        if asked and any(asked.groups()) and call.request.method == "GET":
            part = _slice(asked[1], asked[2], file.size)
            if not part:
                span = {**headers, "Content-Range": f"bytes */{file.size}"}
                raise Refusal(416, "The range is outside of the file", headers=span)
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
            content, status = content[part.start : part.stop], 206
        return Answer(status, content, headers, "application/octet-stream")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub: HubServer):
        self.hub = hub
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Without this, the thread of a connection that was kept open would go on answering."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Tests kill clients: that a connection broke is no error of the server.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *values: Any) -> None:
        """Keep quiet: `HubServer.requests` is the log."""

    def _handle(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            return
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, headers, body)
        fault = hub.receive(request)
        if fault and fault.stall and (hub.wait(fault.stall) or self._client_left()):
            self.close_connection = True
            return
        if fault and fault.status is not None:
            message = fault.message or HTTPStatus(fault.status).phrase
            answer = Answer.error(Refusal(fault.status, message, fault.error_code))
        else:
            answer = hub.answer(request, self.path)
        self._send(answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _body(self) -> bytes | None:
        """Read the body; None if the client left in the midst of it."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            return body if len(body) == size else None
        whole = bytearray()
        while line := self.rfile.readline():
            size = int(line.split(b";")[0], 16)
            whole += self.rfile.read(size + 2)[:-2]
            if size == 0:
                return bytes(whole)
        return None

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        body = answer.body
        if fault and fault.body is not None:
            body = fault.body(body) if callable(fault.body) else fault.body
        headers = {
            "Content-Type": answer.type,
            "Content-Length": len(body),
            **answer.headers,
            **(fault.headers if fault else {}),
        }
        if fault and fault.corrupt and body:
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        if fault and fault.truncate is not None:
            body = body[: fault.truncate]
            self.close_connection = True
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def lfs_by_default(path: str, content: bytes) -> bool:
    """Say whether a file is stored under LFS: by its suffix, or because it is no text."""
    if path.endswith(LFS_SUFFIXES) or b"\0" in content:
        return True
    try:
        # Not final: the content may be a sample, cut within a character.
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return True
    return False


def git_blob_id(content: bytes) -> str:
    """Return the id that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def folders_of(path: str) -> list[str]:
    """Return all folders above a file."""
    return [str(folder) for folder in PurePosixPath(path).parents if folder.name]


def _expanded(repository: Repository, commit_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "lastCommit": repository.last_change(commit_id, entry["path"])}


def _slice(first: str, last: str, size: int) -> range:
    """Return the bytes that a range header names; an empty range if there are none."""
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1 if last else size))


def _loaded(values: dict[str, Any]) -> Repository:
    commits = {
        commit_id: Commit(**{**commit, "files": _loaded_files(commit["files"])})
        for commit_id, commit in values["commits"].items()
    }
    return Repository(**{**values, "commits": commits, "lfs": set(values["lfs"])})


def _loaded_files(files: dict[str, dict[str, Any]]) -> dict[str, File]:
    return {path: File(**file) for path, file in files.items()}


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file in a way that it is never seen in part."""
    draft = path.with_name(f".{path.name}")
    draft.write_bytes(content)
    os.replace(draft, path)


_Route = tuple[str, re.Pattern[str], Callable[[HubServer, Call], Answer]]


def _route(method: str, pattern: str, answer: Callable[[HubServer, Call], Answer]) -> _Route:
    """Make a route; `<part>` stands for quoted parts of the path: by default for one."""
    longer = {"name": f"(?:{SPACES})?[^/]+/[^/]+?", "path": ".+"}

    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>{longer.get(match[1], '[^/]+')})"

    return method, re.compile(re.sub(r"<(\w+)>", group, pattern)), answer


_ROUTES = [
    _route("GET", "/api/whoami-v2", HubServer._whoami),
    _route("GET", "/api/agent-harnesses", HubServer._agent_harnesses),
    _route("POST", "/api/validate-yaml", HubServer._validate_yaml),
    _route("POST", "/api/repos/create", HubServer._create_repository),
    _route("GET", "/api/(?:models/|(?=spaces/))<name>", HubServer._info),
    _route("GET", "/api/(?:models/|(?=spaces/))<name>/refs", HubServer._refs),
    _route("GET", "/api/(?:models/|(?=spaces/))<name>/revision/<revision>", HubServer._info),
    _route(
        "GET", "/api/(?:models/|(?=spaces/))<name>/tree/<revision>(?:/<path>)?", HubServer._tree
    ),
    _route(
        "POST", "/api/(?:models/|(?=spaces/))<name>/paths-info/<revision>", HubServer._paths_info
    ),
    _route(
        "POST", "/api/(?:models/|(?=spaces/))<name>/branch/<revision>", HubServer._create_branch
    ),
    _route("POST", "/api/(?:models/|(?=spaces/))<name>/preupload/<revision>", HubServer._preupload),
    _route("POST", "/api/(?:models/|(?=spaces/))<name>/commit/<revision>", HubServer._commit),
    _route("POST", r"/<name>\.git/info/lfs/objects/batch", HubServer._lfs_batch),
    _route("PUT", r"/<name>\.git/lfs/<oid>", HubServer._lfs_upload),
    _route("POST", r"/<name>\.git/lfs/<oid>/verify", HubServer._lfs_verify),
    _route("GET", "/<name>/resolve/<revision>/<path>", HubServer._resolve),
]
