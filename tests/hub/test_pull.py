import io
import json
import time
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hub_client import MODELS, ClientError, HubClient
from hub_server import Fault
from marks import compiles_long

import keras_crate

pytestmark = pytest.mark.any_backend

PULL = 'result = keras_crate.hub.pull("{}").predict(images, verbose=0)'


def _unpacked(model, folder) -> dict[str, bytes]:
    """A model's files in Keras' format."""
    model.save(folder / "a.keras")
    with zipfile.ZipFile(folder / "a.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    options = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
    keras.utils.set_random_seed(7)
    return _unpacked(keras_crate.CRATE(24, 1, 2, **options), tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def published(server, client):
    """What a published model predicts."""
    return client("""
keras_crate.hub.push(trained(), "hf://writer/model")
result = trained().predict(images, verbose=0)
""")


@pytest.fixture
def other(server, files):
    """A repository of its own for a test, with one model."""
    other.count = getattr(other, "count", 0) + 1
    name = f"writer/other-{other.count}"
    server.add_repository(name, files)
    return name


def test_revisions(server, client, published):
    first = server.commits("writer/model")[0]
    client('keras_crate.hub.push(trained(1), "hf://writer/model")')
    second = client("result = trained(1).predict(images, verbose=0)")
    assert np.abs(np.array(published) - second).max() > 1e-3
    for address, expected in (
        (f"hf://writer/model@{first}", published),
        ("hf://writer/model@main", second),
        ("hf://writer/model", second),
    ):
        np.testing.assert_allclose(client(PULL.format(address)), expected, atol=1e-6)
    pinned = f'result = keras_crate.hub.pull("hf://writer/model", revision="{first}")'
    client(pinned + ".predict(images, verbose=0)")


def test_weights_from_an_address(server, client):
    """`weights=` of a constructor: of a branch's head, and of a commit."""
    client('keras_crate.hub.push(trained(4, mean=[0.1] * 3, std=[0.3] * 3), "hf://writer/given")')
    first = server.commits("writer/given")[0]
    client('keras_crate.hub.push(trained(5), "hf://writer/given")')
    make = """
model = keras_crate.CRATE(
    24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=3, weights=address)
result = [model.predict(images, verbose=0), model.class_names, model.settings.mean]"""
    for address, seed, mean in (
        ("hf://writer/given", "5", None),
        (f"hf://writer/given@{first}", "4, mean=[0.1] * 3, std=[0.3] * 3", [0.1] * 3),
    ):
        found, names, mean_found = client(make, address=address)
        expected = client(f"result = trained({seed}).predict(images, verbose=0)")
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert names == ["cat", "dog", "?"]
        assert mean_found == mean
    assert not any("other settings" in warning for warning in client.warnings)


def test_hdf5_is_downloaded_only_where_safetensors_is_not_enough(server, client):
    client("""
model = trained()
model.compile("adam", "sparse_categorical_crossentropy")
keras_crate.hub.push(model, "hf://writer/two")""")
    make = "result = keras_crate.CRATE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, weights={})"
    for code, asked in (
        ('result = keras_crate.load("hf://writer/two")', "safetensors"),
        (make.format('"hf://writer/two"'), ""),
        (PULL.format("hf://writer/two"), "h5"),
        ('result = keras_crate.load("hf://writer/two")', ""),
    ):
        server.requests.clear()
        client(code + "; result = result if isinstance(result, np.ndarray) else 0")
        asked_for = {path.rpartition(".")[2] for r in server.requests if (path := r.path)}
        assert asked_for & {"safetensors", "h5"} == ({asked} if asked else set())


def test_a_known_commit_is_not_asked_for_again(server, client, other):
    commit = server.commits(other)[0]
    client(PULL.format(f"hf://{other}@{commit}"))
    server.requests.clear()
    client(PULL.format(f"hf://{other}@{commit}"))
    assert [r for r in server.requests if other in r.path] == []


def test_settings_of_the_client_are_obeyed(server, client, other):
    server.requests.clear()
    client(PULL.format(f"hf://{other}"))
    assert any(other in request.path for request in server.requests)  # HF_ENDPOINT
    cached = client.home / "hf"
    assert any(other.split("/")[1] in str(path) for path in cached.rglob("*.h5"))  # HF_HOME
    assert all(
        request.headers.get("authorization") == "Bearer hf_writer"
        for request in server.requests
        if other in request.path and request.path.startswith("/api")
    )


def test_a_damaged_cache_is_told_and_mended(server, client, other):
    expected = client(PULL.format(f"hf://{other}"))
    for name in ("model.weights.h5", "config.json"):
        [cached] = (client.home / "hf").rglob(f"models--{other.replace('/', '--')}/**/{name}")
        content = bytearray(cached.read_bytes())
        content[len(content) // 2] ^= 1
        cached.resolve().write_bytes(content)
        found = client(PULL.format(f"hf://{other}"))
        assert any(
            f"cached file {name}" in w and "is damaged. It was downl" in w for w in client.warnings
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert cached.read_bytes() != bytes(content)
    client(PULL.format(f"hf://{other}"))
    assert not any("damaged" in w for w in client.warnings)


def test_a_download_that_is_corrupted_once(server, client, other):
    server.faults.append(Fault("GET", "resolve/.*h5", corrupt=True, times=1))
    client(PULL.format(f"hf://{other}"))
    assert any("is damaged" in warning for warning in client.warnings)


@pytest.mark.parametrize("name", ["model.weights.h5", "config.json"])
def test_a_download_that_is_always_corrupted(name, server, client, other):
    server.faults.append(Fault("GET", f"resolve/.*{name}", corrupt=True))
    with pytest.raises(ClientError, match=f"{name} .* is not what the Hub states.*nothing was loa"):
        client(PULL.format(f"hf://{other}"))
    server.faults.clear()
    client(PULL.format(f"hf://{other}"))
    assert not any("damaged" in warning for warning in client.warnings)  # none was kept


def test_a_download_that_breaks_off(server, client, other):
    fault = Fault("GET", "resolve/.*h5", truncate=1000, times=2)
    server.faults.append(fault)
    client(PULL.format(f"hf://{other}"))
    assert fault.seen == 3


def test_a_download_that_always_breaks_off(server, client, other):
    server.faults.append(Fault("GET", "resolve/.*h5", truncate=1000))
    with pytest.raises(ClientError, match=r"download of hf:.* failed") as raised:
        client(PULL.format(f"hf://{other}"))
    assert raised.value.kind == "OSError"
    server.faults.clear()
    client(PULL.format(f"hf://{other}"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (None, "no repository hf://writer/nothing, or it is private"),
        (Fault("*", "nothing", status=404, error_code="RepoNotFound"), "no repository"),
        (Fault("*", "nothing", status=403, error_code="GatedRepo"), "is gated. Ask for access"),
        (Fault("*", "nothing", status=403), "token does not allow this .status 403"),
        (Fault("*", "nothing", status=401, error_code="RepoNotFound"), "not logged in as a user"),
        (Fault("*", "nothing", status=409), "status 409"),
        (Fault("*", "nothing", status=429), "status 429.*Try again in 0 s"),
        (Fault("*", "nothing", status=500), "status 500"),
        (Fault("*", "nothing", status=503), "status 503"),
    ],
)
def test_a_repository_that_cannot_be_had(fault, message, server, client):
    if fault:
        fault.headers = {"Retry-After": "0"}
        server.faults.append(fault)
    with pytest.raises(ClientError, match=message) as raised:
        client(PULL.format("hf://writer/nothing"))
    assert raised.value.kind in ("FileNotFoundError", "OSError", "PermissionError")


def test_a_revision_that_does_not_exist(client, other):
    with pytest.raises(ClientError, match=r"has no branch, tag or commit 'v9'"):
        client(PULL.format(f"hf://{other}@v9"))


def test_a_repository_without_a_model(server, client):
    server.add_repository("writer/notes", {"README.md": b"x", "model.safetensors": b"y"})
    with pytest.raises(
        ClientError,
        match=r"no Keras model, since it lacks config.json, ",
    ):
        client(PULL.format("hf://writer/notes"))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "assets/../../../../x"])
def test_a_path_that_leads_out(path, server, client, files):
    name = "writer/out-" + "".join(c for c in path if c.isalnum())
    server.add_repository(name, {**files, path: b"x"})
    server.requests.clear()
    if path.startswith("assets"):
        with pytest.raises(ClientError, match=r"Invalid (filename|pointer)"):
            client(PULL.format(f"hf://{name}"))
    else:  # it is not a file of a model, so it is not downloaded
        client(PULL.format(f"hf://{name}"))
    assert not any(request.path.endswith("x") for request in server.requests)


def _with_layer(files, **layer) -> bytes:
    """The configuration of another model, with one more layer."""
    outer = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": "s",
            "layers": [
                {
                    "module": "keras.layers",
                    "class_name": "InputLayer",
                    "config": {"batch_shape": [None, 4], "name": "i"},
                    "registered_name": None,
                },
                {"registered_name": None, **layer},
            ],
        },
        "registered_name": None,
    }
    return json.dumps(outer).encode()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {
                "module": "keras.layers",
                "class_name": "Lambda",
                "config": {"name": "l", "function": {"class_name": "__lambda__", "config": {}}},
            },
            "holds a Lambda, which can run code.*never run",
        ),
        (
            {"module": "os", "class_name": "system", "config": {"command": "true"}},
            "names os.system, which is not a part of models",
        ),
        (
            {"module": "his_layers", "class_name": "Own", "registered_name": "his>Own"},
            "names his_layers.Own, which is not a part of .* If you trust it, import",
        ),
    ],
)
def test_code_is_never_run(layer, message, server, client, files):
    name = f"writer/code-{layer['class_name'].lower()}"
    server.add_repository(name, {**files, "config.json": _with_layer(files, **layer)})
    with pytest.raises(ClientError, match=message) as raised:
        client(PULL.format(f"hf://{name}"))
    assert raised.value.kind == "ValueError"
    # `weights=` reads arrays and numbers only.
    load = f'keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=3, weights="hf://{name}")'
    client(load)


def test_weights_that_point_elsewhere(server, client, files, tmp_path):
    content = io.BytesIO(files["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        file["layers/stolen"] = h5py.ExternalLink("/etc/passwd", "/")
    server.add_repository("writer/links", {**files, "model.weights.h5": content.getvalue()})
    with pytest.raises(ClientError, match=r"takes weights from another file or place \(stolen\)"):
        client(PULL.format("hf://writer/links"))


def test_a_model_that_is_damaged_where_it_was_published(server, client, files):
    server.add_repository("writer/broken-h5", {**files, "model.weights.h5": b"none"})
    with pytest.raises(ClientError, match=r"weights file hf:.* is truncated or damaged"):
        client(PULL.format("hf://writer/broken-h5"))
    server.add_repository("writer/broken-json", {**files, "config.json": b"{"})
    with pytest.raises(ClientError, match=r"config.json of .* cannot be read"):
        client(PULL.format("hf://writer/broken-json"))


@compiles_long
def test_after_a_kill_two_at_once_and_offline(server, tmp_path, files):
    server.add_repository("writer/both", files)
    server.add_repository("writer/unseen", files)
    home = tmp_path / "shared"
    stall = Fault("GET", "resolve/.*h5", stall=30)
    server.faults.append(stall)
    with HubClient(server, home) as doomed:  # killed in the middle of a download
        doomed.tell(MODELS + PULL.format("hf://writer/both"))
        for _ in range(3000):
            if stall.seen:
                break
            time.sleep(0.1)
        assert stall.seen
        doomed.kill()
    server.faults.clear()
    with HubClient(server, home) as one, HubClient(server, home) as two:
        for process in (one, two):
            process.tell(MODELS + PULL.format("hf://writer/both"))
        assert np.array_equal(one.answer(), two.answer())
        expected = one(PULL.format("hf://writer/both"))
    server.requests.clear()
    with HubClient(server, home, HF_HUB_OFFLINE="1") as offline:
        found = offline(MODELS + PULL.format("hf://writer/both"))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        with pytest.raises(ClientError, match=r"is not in the cache, and the Hub cannot be"):
            offline(PULL.format("hf://writer/unseen"))
        with pytest.raises(ClientError, match="not published: the Hub cannot be reached"):
            offline('keras_crate.hub.push(trained(), "hf://writer/offline")')
        [cached] = (home / "hf").rglob("models--writer--both/**/model.weights.h5")
        cached.resolve().write_bytes(cached.read_bytes()[:-1] + b"x")
        with pytest.raises(ClientError, match=r"model.weights.h5 .* is damaged. It must be"):
            offline(PULL.format("hf://writer/both"))
        assert cached.exists()
    assert server.requests == []


def test_revisions_with_a_slash(server, client, files):
    for revision in ("x/y", "x--y"):
        server.add_repository(
            "writer/slashes", {**files, revision.replace("/", "_"): b"x"}, revision=revision
        )
    for revision in ("x/y", "x--y"):
        client(PULL.format(f"hf://writer/slashes@{revision}"))
