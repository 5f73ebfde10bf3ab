"""The test Hub against the real client: what it stores, what it serves, how it misbehaves.

The client reads its settings at import, so each test hands it a script in a process of its own.
A script may use `api`, `outcome` (the result of a call, or the name of its exception) and `waits`
(the pauses that the client made between tries, which are not slept through), and leaves its
findings in `result`.
"""

import hashlib
import http.client
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from hub_server import Fault, HubServer, User

pytestmark = pytest.mark.any_backend
NEW_CLIENT = not importlib.metadata.version("huggingface-hub").startswith("1.")

PRELUDE = """
import json, time
from pathlib import Path
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub import hf_hub_download, snapshot_download

waits, result, api = [], {}, HfApi()
time.sleep = waits.append


def outcome(call, *values, **options):
    try:
        return call(*values, **options)
    except Exception as error:
        return type(error).__name__
"""
CARD = b"# Model\n\nIt sees.\n"
CONFIG = b'{"depth": 2}\n'
WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


def start(hub, home, script, token="hf_writer", **popen):
    environment = {**os.environ, **hub.environment(home, token)}
    code = f"{PRELUDE}\n{script}\nprint(json.dumps(result))"
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **popen)


def client(hub, home, script, token="hf_writer"):
    process = start(hub, home, script, token, stderr=subprocess.PIPE)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return json.loads(output)


def send(hub, method, path, body=b"", headers=(), token="hf_writer"):
    """One bare request, for what the client would never send."""
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"Bearer {token}", **dict(headers)} if token else dict(headers)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    answer = response.status, dict(response.headers), response.read()
    connection.close()
    return answer


def commit_body(*operations, parent=None):
    header = {"summary": "test", "description": ""} | ({"parentCommit": parent} if parent else {})
    lines = [{"key": "header", "value": header}]
    lines += [{"key": key, "value": value} for key, value in operations]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def test_what_is_pushed_is_pulled(hub, tmp_path):
    (tmp_path / "weights.h5").write_bytes(WEIGHTS)
    found = client(
        hub,
        tmp_path,
        f"""
made = api.create_repo("writer/model")
again = outcome(api.create_repo, "writer/model"), api.create_repo("writer/model", exist_ok=True)
operations = [
    CommitOperationAdd("README.md", {CARD!r}),
    CommitOperationAdd("deep/config.json", {CONFIG!r}),
    CommitOperationAdd("weights.h5", {str(tmp_path / "weights.h5")!r}),
]
commit = api.create_commit("writer/model", operations, commit_message="Add the model")
folder = Path(snapshot_download("writer/model"))
tree = list(api.list_repo_tree("writer/model", recursive=True, expand=True))
paths = api.get_paths_info("writer/model", ["deep", "weights.h5", "missing"])
result = {{
    "url": str(made), "again": [str(url) for url in again], "commit": commit.oid,
    "commit_url": commit.commit_url,
    "files": {{str(p.relative_to(folder)): p.read_bytes().hex() for p in folder.rglob("*.*")}},
    "tree": {{e.path: (e.lfs.sha256 if getattr(e, "lfs", None) else None) for e in tree}},
    "changed": {{e.last_commit.title for e in tree}} == {{"Add the model"}},
    "top": [e.path for e in api.list_repo_tree("writer/model")],
    "deep": [e.path for e in api.list_repo_tree("writer/model", "deep")],
    "paths": [(type(e).__name__, e.path) for e in paths],
    "info": api.model_info("writer/model", files_metadata=True).siblings[2].lfs.sha256,
    "verified": not api.verify_repo_checksums("writer/model").mismatches,
    "me": api.whoami(),
}}
""",
    )
    pushed = {"README.md": CARD, "deep/config.json": CONFIG, "weights.h5": WEIGHTS}
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    head, first = hub.commits("writer/model")
    assert found["url"] == f"{hub.endpoint}/writer/model"
    assert found["again"] == ["HfHubHTTPError", found["url"]]
    assert (found["commit"], found["commit_url"]) == (head, f"{found['url']}/commit/{head}")
    assert found["files"] == {path: content.hex() for path, content in pushed.items()}
    assert hub.files("writer/model") == pushed and hub.files("writer/model", first) == {}
    assert found["tree"] == dict.fromkeys([*pushed, "deep"]) | {"weights.h5": digest}
    assert found["changed"] and found["verified"]
    assert (found["top"], found["deep"]) == (
        ["README.md", "deep", "weights.h5"],
        ["deep/config.json"],
    )
    assert found["paths"] == [["RepoFolder", "deep"], ["RepoFile", "weights.h5"]]
    assert found["info"] == digest
    assert found["me"]["name"] == "writer" and found["me"]["orgs"][0]["name"] == "keras-crate"
    assert found["me"]["auth"]["accessToken"]["role"] == "write"
    puts = [request for request in hub.requests if request.method == "PUT"]
    assert [(request.path, request.body) for request in puts] == [
        (f"/writer/model.git/lfs/{digest}", WEIGHTS)
    ]


def test_branches_and_later_commits(hub, tmp_path):
    first = hub.add_repository("writer/model", {"a.txt": b"a", "old/b.txt": b"b", "c.h5": b"c"})
    second = hub.add_repository("writer/model", {"a.txt": b"a"})
    found = client(
        hub,
        tmp_path,
        f"""
api.create_branch("writer/model", branch="feature/x", revision={first!r})
api.create_branch("writer/model", branch="feature/x", exist_ok=True)
clash = outcome(api.create_branch, "writer/model", branch="feature/x")
operations = [
    CommitOperationAdd("a.txt", b"new"), CommitOperationAdd("d.h5", b"c"),
    CommitOperationDelete("old/"), CommitOperationDelete("c.h5"),
]
made = api.create_commit(
    "writer/model", operations, commit_message="x", revision="feature/x", parent_commit={first!r}
)
stale = outcome(
    api.create_commit, "writer/model", [CommitOperationAdd("e.txt", b"e")],
    commit_message="y", revision="feature/x", parent_commit={first!r},
)
same = [CommitOperationAdd("d.h5", b"c"), CommitOperationAdd("a.txt", b"new")]
same = api.create_commit("writer/model", same, commit_message="z", revision="feature/x")
missing = [CommitOperationDelete("nothing.txt")]
result = {{
    "clash": clash, "stale": stale, "same": same.oid == made.oid,
    "missing": outcome(api.create_commit, "writer/model", missing, commit_message="w"),
    "refs": {{b.name: b.target_commit for b in api.list_repo_refs("writer/model").branches}},
    "by_branch": sorted(api.list_repo_files("writer/model", revision="feature/x")),
    "pulled": Path(snapshot_download("writer/model", revision="feature/x")).name == made.oid,
    "file": Path(hf_hub_download("writer/model", "a.txt", revision={first!r})).read_text(),
    "branch_file": Path(
        hf_hub_download("writer/model", "a.txt", revision="feature/x")
    ).read_text(),
}}
""",
    )
    made = hub.commits("writer/model", "feature/x")
    assert made[1:] == [first] and hub.commits("writer/model") == [second, first]
    assert hub.files("writer/model", "feature/x") == {"a.txt": b"new", "d.h5": b"c"}
    assert hub.files("writer/model") == {"a.txt": b"a"}
    assert found == {
        "clash": "HfHubHTTPError",
        "stale": "HfHubHTTPError",
        "same": True,
        "missing": "RemoteEntryNotFoundError",
        "refs": {"main": second, "feature/x": made[0]},
        "by_branch": ["a.txt", "d.h5"],
        "pulled": True,
        "file": "a",
        "branch_file": "new",
    }
    assert not [request for request in hub.requests if request.method == "PUT"]


def test_truncated_and_corrupted_downloads(hub, tmp_path):
    hub.add_repository("writer/model", {"once.h5": WEIGHTS, "ever.h5": WEIGHTS[:-1]})
    hub.add_repository("writer/bad", {"weights.h5": WEIGHTS})
    hub.faults += [
        Fault("GET", "/once.h5$", truncate=1000, times=1),
        Fault("GET", "/ever.h5$", truncate=1000),
        Fault("GET", "/writer/bad/resolve/", corrupt=True),
    ]
    found = client(
        hub,
        tmp_path,
        f"""
result["once"] = Path(hf_hub_download("writer/model", "once.h5")).read_bytes() == {WEIGHTS!r}
result["ever"] = outcome(hf_hub_download, "writer/model", "ever.h5")
bad = Path(snapshot_download("writer/bad")) / "weights.h5"
result["bad"] = bad.read_bytes().hex()
result["mismatches"] = [m["path"] for m in api.verify_repo_checksums("writer/bad").mismatches]
result["waits"] = waits
""",
    )
    assert found["once"] and found["ever"] == "RemoteProtocolError"
    assert found["waits"] == [1] * 6
    tries = [request.path for request in hub.requests if request.method == "GET"]
    assert sum(path.endswith("once.h5") for path in tries) == 2
    assert sum(path.endswith("ever.h5") for path in tries) == 6
    # The client does not look at the content: a broken file of the right size passes.
    bad = bytes.fromhex(found["bad"])
    assert len(bad) == len(WEIGHTS)
    assert sum(a != b for a, b in zip(bad, WEIGHTS, strict=True)) == 1
    assert found["mismatches"] == ["weights.h5"]


def test_refusals_are_retried_but_not_of_a_commit(hub, tmp_path):
    hub.add_repository("writer/model", {})
    hub.faults += [
        Fault("POST", "/preupload/", status=429, headers={"Retry-After": 0}, times=2),
        Fault("POST", "/preupload/", status=503, times=2),
        Fault("POST", "/commit/", status=503, after=1),
    ]
    found = client(
        hub,
        tmp_path,
        """
def push(name):
    return api.create_commit("writer/model", [CommitOperationAdd(name, b"a")], commit_message="x")

push("a.txt")
result["refused"] = outcome(push, "b.txt")
result["waits"] = waits
""",
    )
    # One second more than Retry-After says; twice the time after each failure without it.
    assert found == {"refused": "HfHubHTTPError", "waits": [1, 1 if NEW_CLIENT else 2, 4, 8]}
    assert sum("/preupload/" in request.path for request in hub.requests) == 6
    assert sum("/commit/" in request.path for request in hub.requests) == 2
    assert hub.files("writer/model") == {"a.txt": b"a"}


def test_errors_have_their_own_exceptions(hub, tmp_path):
    hub.add_repository("writer/model", {"a.txt": b"a"})
    hub.add_repository("writer/gated", {"a.txt": b"a"})
    hub.add_repository("keras-crate/secret", {"a.txt": b"a"}, private=True)
    hub.faults.append(Fault("*", "/writer/gated/", status=403, error_code="GatedRepo"))
    found = client(
        hub,
        tmp_path,
        """
def pull(name, token, **options):
    return outcome(lambda: bool(snapshot_download(name, token=token, **options)))

def status(call, *values, **options):
    try:
        return bool(call(*values, **options))
    except Exception as error:
        return error.response.status_code

def push(name, **options):
    operation = CommitOperationAdd("b.txt", b"b")
    return api.create_commit(name, [operation], commit_message="x", **options)

result = {
    "revision": pull("writer/model", None, revision="nowhere"),
    "entry": outcome(hf_hub_download, "writer/model", "nothing.txt"),
    "gated": pull("writer/gated", None),
    "missing": [pull("writer/nothing", token) for token in ("hf_writer", False)],
    "secret": [pull("keras-crate/secret", t) for t in ("hf_reader", False, "hf_writer")],
    "refused": outcome(push, "writer/model", token="hf_reader"),
    "push": [
        status(push, "writer/model", token="hf_reader"),
        status(push, "writer/model", token=False),
        status(push, "keras-crate/secret", token="hf_reader"),
        status(push, "keras-crate/secret", token="hf_writer"),
    ],
    "create": [
        status(api.create_repo, "reader/model", token="hf_reader"),
        status(api.create_repo, "stranger/model", token="hf_writer"),
        status(api.create_repo, "keras-crate/model", token="hf_writer", private=True),
    ],
    "who": status(api.whoami, token="hf_unknown"),
    "hidden": pull("keras-crate/model", "hf_reader"),
}
""",
    )
    unknown = "RepositoryNotFoundError"
    assert found == {
        "revision": "RevisionNotFoundError",
        "entry": "RemoteEntryNotFoundError",
        "gated": "GatedRepoError",
        "missing": [unknown, unknown],
        "secret": [unknown, unknown, True],
        "refused": "HfHubHTTPError",
        "push": [403, 401, 404, True],
        "create": [403, 403, True],
        "who": 401,
        "hidden": unknown,
    }
    assert hub.files("writer/model") == {"a.txt": b"a"}
    assert sorted(hub.files("keras-crate/secret")) == ["a.txt", "b.txt"]
    assert send(hub, "GET", "/api/models/writer/model", token=None)[0] == 200
    assert send(hub, "GET", "/api/models/writer/model", token="hf_unknown")[0] == 401
    with pytest.raises(KeyError):
        hub.files("reader/model")


def test_a_killed_push_leaves_nothing(hub, tmp_path):
    hub.add_repository("writer/model", {"a.txt": b"a"})
    before = hub.commits("writer/model")
    hub.faults.append(Fault("POST", "/commit/", stall=1.5, times=1))
    script = """
operations = [CommitOperationAdd("b.txt", b"b"), CommitOperationAdd("c.h5", b"c")]
api.create_commit("writer/model", operations, commit_message="x")
"""
    process = start(hub, tmp_path, script)
    deadline = time.monotonic() + 30
    while not any("/commit/" in request.path for request in hub.requests):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    # The server is not held up by the stall of another client's request.
    begin = time.monotonic()
    assert send(hub, "GET", "/api/models/writer/model/refs")[0] == 200
    assert time.monotonic() - begin < 1
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(max(0, begin + 1.8 - time.monotonic()))
    assert hub.commits("writer/model") == before
    assert hub.files("writer/model") == {"a.txt": b"a"}


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_cut_off_has_no_effect(hub, chunked):
    hub.add_repository("writer/model", {})
    body = commit_body(("file", {"path": "a.txt", "content": "YQ==", "encoding": "base64"}))
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    connection.putrequest("POST", "/api/models/writer/model/commit/main")
    connection.putheader("Authorization", "Bearer hf_writer")
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(len(body) + 1))
    connection.endheaders(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
    connection.sock.shutdown(socket.SHUT_WR)
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()
    assert hub.requests == [] and hub.files("writer/model") == {}
    assert send(hub, "POST", "/api/models/writer/model/commit/main", body)[0] == 200
    assert hub.files("writer/model") == {"a.txt": b"a"}


def test_a_commit_is_whole_or_not_at_all(hub):
    hub.add_repository("writer/model", {"a.txt": b"a"})
    before = hub.commits("writer/model")
    route = "/api/models/writer/model/commit/main"
    file = ("file", {"path": "b.txt", "content": "Yg==", "encoding": "base64"})
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    pointer = {"path": "c.h5", "algo": "sha256", "oid": digest, "size": len(WEIGHTS)}
    last = {
        400: ("lfsFile", pointer),
        404: ("deletedFile", {"path": "nothing.txt"}),
    }
    for status, operation in last.items():
        assert send(hub, "POST", route, commit_body(file, operation))[0] == status
    # An object of another repository does not count.
    hub.add_repository("writer/other", {"c.h5": WEIGHTS})
    assert send(hub, "POST", route, commit_body(file, ("lfsFile", pointer)))[0] == 400
    assert send(hub, "POST", route, b"nonsense")[0] == 400
    assert send(hub, "POST", route, commit_body(file, parent="0" * 40))[0] == 412
    upload = f"/writer/model.git/lfs/{digest}"
    assert send(hub, "PUT", upload, WEIGHTS[:-1], token=None)[0] == 400
    assert hub.commits("writer/model") == before
    assert hub.files("writer/model") == {"a.txt": b"a"}
    assert send(hub, "PUT", upload, WEIGHTS, token=None)[0] == 200
    wrong = ("lfsFile", {**pointer, "size": 1})
    assert send(hub, "POST", route, commit_body(file, wrong))[0] == 400
    assert send(hub, "POST", route, commit_body(file, ("lfsFile", pointer)))[0] == 200
    assert hub.files("writer/model") == {"a.txt": b"a", "b.txt": b"b", "c.h5": WEIGHTS}


def test_an_answer_may_be_lost_after_the_deed(hub):
    hub.add_repository("writer/model", {})
    hub.faults.append(Fault("POST", "/commit/", truncate=0, times=1))
    file = ("file", {"path": "b.txt", "content": "Yg==", "encoding": "base64"})
    with pytest.raises(http.client.IncompleteRead):
        send(hub, "POST", "/api/models/writer/model/commit/main", commit_body(file))
    assert hub.files("writer/model") == {"b.txt": b"b"}


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=2-4", 206, (b"234", "bytes 2-4/10")),
        ("bytes=7-", 206, (b"789", "bytes 7-9/10")),
        ("bytes=7-99", 206, (b"789", "bytes 7-9/10")),
        ("bytes=-2", 206, (b"89", "bytes 8-9/10")),
        ("bytes=10-", 416, (None, "bytes */10")),
        ("lines=1-2", 200, (b"0123456789", None)),
    ],
)
def test_byte_ranges(hub, asked, status, expected):
    hub.add_repository("writer/model", {"digits.h5": b"0123456789"})
    path = "/writer/model/resolve/main/digits.h5"
    got, headers, body = send(hub, "GET", path, headers={"Range": asked})
    content, span = expected
    assert (got, headers.get("Content-Range")) == (status, span)
    assert content in (None, body)


def test_headers_of_a_file(hub):
    files = {"a b.txt": b"text", "w.bin": b"\xff\x00", "w.txt": b"text", "t.h5": b"text"}
    commit = hub.add_repository("writer/model", files, lfs=lambda path, _: path == "w.txt")
    etags = {}
    for path in ("a%20b.txt", "w.bin", "w.txt"):
        for method in ("HEAD", "GET"):
            target = f"/writer/model/resolve/{commit}/{path}"
            status, headers, body = send(hub, method, target)
            assert status == 200 and headers["X-Repo-Commit"] == commit
            assert int(headers["Content-Length"]) == len(body or files[path.replace("%20", " ")])
            etags[path] = (headers["ETag"].strip('"'), headers.get("X-Linked-Size"))
    blob = hashlib.sha1(b"blob 4\0text").hexdigest()
    assert etags["a%20b.txt"] == (blob, None)
    assert etags["w.bin"] == (hashlib.sha1(b"blob 2\0\xff\x00").hexdigest(), None)
    assert etags["w.txt"] == (hashlib.sha256(b"text").hexdigest(), "4")


def test_a_path_that_leaves_the_folder_is_served(hub, tmp_path):
    hub.add_repository("writer/model", {"../evil.txt": b"evil", "a.txt": b"a"})
    found = client(
        hub,
        tmp_path,
        """
result["listed"] = sorted(api.list_repo_files("writer/model"))
result["pulled"] = outcome(snapshot_download, "writer/model")
""",
    )
    assert found["listed"] == ["../evil.txt", "a.txt"]
    assert found["pulled"] == ("ValueError" if NEW_CLIENT else "LocalEntryNotFoundError")
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_folder_keeps_the_repositories(tmp_path):
    files = {"a.txt": b"a", "w.h5": WEIGHTS}
    with HubServer(tmp_path / "hub") as first:
        old = first.add_repository("writer/model", files, private=True)
        new = first.add_repository("writer/model", {"a.txt": b"b"}, revision="next")
        digest = hashlib.sha256(WEIGHTS).hexdigest()
        kept = http.client.HTTPConnection(first.endpoint.removeprefix("http://"), timeout=10)
        kept.request("GET", "/api/models/writer/model")
        kept.getresponse().read()
    with pytest.raises(ConnectionError):
        kept.request("GET", "/api/models/writer/model")
        kept.getresponse()
    kept.close()
    with pytest.raises(ConnectionRefusedError):
        send(first, "GET", "/api/whoami-v2")
    with HubServer(tmp_path / "hub", users={"t": User("writer")}) as second:
        assert second.files("writer/model") == files
        assert second.commits("writer/model", "next") == [new, old]
        assert second.files("writer/model", new) == {"a.txt": b"b"}
        path = f"/writer/model/resolve/{old}/w.h5"
        assert send(second, "GET", path, token=None)[0] == 401
        assert send(second, "GET", path, token="hf_writer")[0] == 401
        status, headers, body = send(second, "GET", path, token="t")
        assert (status, headers["ETag"], body) == (200, f'"{digest}"', WEIGHTS)
        wish = json.dumps({"objects": [{"oid": digest, "size": len(WEIGHTS)}]}).encode()
        batch = send(second, "POST", "/writer/model.git/info/lfs/objects/batch", wish, token="t")
        assert "actions" not in json.loads(batch[2])["objects"][0]


def test_an_unknown_route_is_no_missing_file(hub):
    assert send(hub, "GET", "/api/datasets/writer/data")[0] == 501
    assert send(hub, "DELETE", "/api/repos/delete")[0] == 501
