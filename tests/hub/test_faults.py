"""Broken answers of the Hub, at each request, end in one message and are not remembered."""

import json

import pytest
from hub_client import MODELS, ClientError, HubClient
from hub_server import Fault

pytestmark = pytest.mark.any_backend

NAMES = ("html", "empty", "null", "list", "object", "number")
BODIES = dict(zip(NAMES, (b"<html>Log in</html>", b"", b"null", b"[]", b"{}", b"7"), strict=True))
PULL = {
    "info": ("GET", "/revision/", "could not be listed"),
    "head": ("HEAD", "/resolve/", "The download of"),
    "get": ("GET", "/resolve/", "The download of"),
}
PUSH = {
    "whoami": ("GET", "whoami", NAMES),
    "create": ("POST", "repos/create", NAMES),
    "info": ("GET", "/api/models/", NAMES),
    "branch": ("POST", "/branch/", ()),
    "card": ("POST", "validate-yaml", ("html", "null")),
    "preupload": ("POST", "/preupload/", ("html", "object")),
    "batch": ("POST", "objects/batch", ("html", "list")),
    "put": ("PUT", "/lfs/", ()),
    "verify": ("POST", "/verify", ()),
    "commit": ("POST", "/commit/", NAMES),
}


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    with HubClient(server, tmp_path_factory.mktemp("home")) as client:
        client(MODELS + "model = trained()")
        client('keras_crate.hub.push(model, "hf://writer/source")')
        yield client


ALL = [False, pytest.param(True, marks=pytest.mark.slow)]


def _faults(method, path, bodies, every):
    bodies, statuses = (bodies, (401, 403, 409, 503)) if every else (bodies[:1], (401, 503))
    yield from ((name, Fault(method, path, body=BODIES[name])) for name in bodies)
    for status in statuses:
        text = "not for hf_writer\n" * 9
        headers = {"Retry-After": "0"}
        yield status, Fault(method, path, status=status, message=text, headers=headers)
    if bodies and every:
        yield "redirect", Fault(method, path, status=302, headers={"Location": "/portal"})


def _refused(server, client, fault, code) -> ClientError:
    portal = Fault("*", "^/portal", status=200, body=BODIES["html"])
    server.faults[:] = [fault, portal]
    with pytest.raises(ClientError) as raised:
        client(code)
    server.faults.clear()
    text = str(raised.value)
    assert raised.value.kind in ("OSError", "PermissionError", "FileNotFoundError", "ValueError")
    assert len(text.splitlines()) <= 4 and len(text) < 600
    assert "hf://writer/" in text and "hf_writer" not in text
    return raised.value


@pytest.mark.parametrize("every", ALL)
@pytest.mark.parametrize("request_", PULL)
def test_pull(request_, every, server, client):
    method, path, failed = PULL[request_]
    bodies = {"info": NAMES, "head": (), "get": NAMES}[request_]
    for number, (name, fault) in enumerate(_faults(method, path, bodies, every)):
        where = f"writer/{request_}-{every}-{number}"
        server.add_repository(where, server.files("writer/source"))
        code = f'keras_crate.hub.pull("hf://{where}")'
        error = _refused(server, client, fault, code)
        assert failed in str(error), name
        if name == 401:
            assert error.kind == "PermissionError"
            assert "does not accept your token" in str(error) and "HF_TOKEN" in str(error)
        client(code)  # nothing of it is remembered


@pytest.mark.parametrize("every", ALL)
@pytest.mark.parametrize("request_", PUSH)
def test_push(request_, every, server, client):
    method, path, bodies = PUSH[request_]
    for number, (name, fault) in enumerate(_faults(method, path, bodies, every)):
        if (request_, name) == ("branch", 409):  # it says that the branch is there
            continue
        where = f"writer/push-{request_}-{every}-{number}"
        branch = ', revision="v1"' if request_ == "branch" else ""
        error = _refused(
            server, client, fault, f'keras_crate.hub.push(model, "hf://{where}"{branch})'
        )
        try:
            published = bool(server.files(where))
        except KeyError:
            published = False
        unknown = "It is not known whether" in str(error)
        assert unknown or f"hf://{where}{'@v1' * bool(branch)} was not published" in str(error)
        assert unknown == published, name
        if unknown:
            assert f"Publish crate' at {server.endpoint}/{where}/commits/main" in str(error)


@pytest.mark.parametrize("size", ["listing", "head"])
def test_a_lie_about_sizes_is_not_remembered(size, server, client):
    def lie(body):
        return json.dumps([{**entry, "size": 0} for entry in json.loads(body)]).encode()

    where = f"writer/lie-{size}"
    server.add_repository(where, server.files("writer/source"))
    code = f'keras_crate.hub.pull("hf://{where}")'
    if size == "listing":
        server.faults.append(Fault("GET", "/tree/", body=lie))
    else:
        nothing = {"Content-Length": 0, "X-Linked-Size": 0}
        _refused(server, client, Fault("HEAD", "/resolve/", headers=nothing), code)
    client(code)


@pytest.mark.parametrize("call", ["pull(", "push(model, "])
def test_a_listing_without_end_is_not_followed(call, server, client):
    where = f"writer/endless-{len(call)}"
    server.add_repository(where, server.files("writer/source"))
    following = f'<{server.endpoint}/api/models/{where}/tree/main>; rel="next"'
    server.faults.append(Fault("GET", "/tree/|/revision/|models/", headers={"Link": following}))
    server.requests.clear()
    client(f'keras_crate.hub.{call}"hf://{where}")')
    assert len(server.requests) < 20


@pytest.mark.parametrize("tag", ["", "../../x", "../../../../x"])
def test_a_file_without_a_hash_is_refused(tag, server, client):
    where = f"writer/tag-{len(tag)}"
    server.add_repository(where, server.files("writer/source"))
    headers = {"ETag": f'"{tag}"', "X-Linked-Etag": f'"{tag}"'}
    code = f'keras_crate.hub.pull("hf://{where}")'
    error = _refused(server, client, Fault("HEAD", "/resolve/", headers=headers), code)
    assert "states no hash of" in str(error)
    client(code)


@pytest.mark.parametrize("call", ["pull(", "push(model, "])
def test_a_wrong_token(call, server, client):
    code = f'keras_crate.hub.{call}"hf://writer/source")'
    client('import os; os.environ["HF_TOKEN"] = "hf_wrong"')
    try:
        with pytest.raises(ClientError, match=r"does not accept your token \(status 401\)") as got:
            client(code)
    finally:
        client('os.environ["HF_TOKEN"] = "hf_writer"')
    assert got.value.kind == "PermissionError" and "hf_wrong" not in str(got.value)
