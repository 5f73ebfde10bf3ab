import json
import re
import textwrap
import time

import keras
import numpy as np
import pytest
import yaml
from hub_client import MODELS, ClientError, HubClient
from hub_server import Fault
from marks import compiles_long

from keras_crate.hub.keras_hub_files import KERAS_HUB_FILES


def _card(server, name):
    text = server.files(name)["README.md"].decode()
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


def _run(client, card):
    """Runs a card's lines."""
    for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        if "keras_hub" not in code:  # tests/keras_hub/ runs it
            client(code)
    client(MODELS)  # the lines have an `images` of their own


@pytest.mark.any_backend  # tests/test_exchange.py publishes under each
def test_a_publication(server, client):
    expected = client("""
model = trained()
model.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.02), "sparse_categorical_crossentropy")
model.fit(images, np.array([0, 1, 2, 0]), epochs=2, batch_size=2, verbose=0)
keras_crate.hub.push(
    model, "hf://writer/digits", dataset="ylecun/mnist", metrics={"accuracy": 0.975}, license="mit",
    base_model="keras-crate/crate_demo_mnist", training={"epochs": 2}, images=images,
    evaluation=keras_crate.hub.Evaluation(size=(16, 16), resize=18),
)
result = model.predict(images, verbose=0)
""")
    files = server.files("writer/digits")
    assert set(files) == {
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
        "model.safetensors",
        "class_names.json",
        "evaluation.json",
        "layers.png",
        *KERAS_HUB_FILES,
        ".eval_results/keras_crate.yaml",
    }
    assert len(server.commits("writer/digits")) == 2  # the empty one of its making, and one
    assert json.loads(files["class_names.json"]) == ["cat", "dog", "?"]
    assert json.loads(files["evaluation.json"])["resize"] == 18
    assert files["layers.png"].startswith(b"\x89PNG")

    again = "np.abs(model.predict(images, verbose=0) - np.array(expected)).max()"
    load = 'model = keras_crate.hub.pull("hf://writer/digits")\nresult = float(' + again + ")"
    assert client(load, expected=expected) <= 1e-6
    assert client("result = model.optimizer is not None and model.class_names[1]") == "dog"
    # Keras reads this address by TensorFlow's files, whatever the backend.
    load = 'model = keras.saving.load_model("hf://writer/digits")\nresult = float(' + again + ")"
    if keras.backend.backend() == "tensorflow":
        assert client(load, expected=expected) <= 1e-6
    load = """
from huggingface_hub import hf_hub_download
file = hf_hub_download("writer/digits", "model.safetensors")
model = keras_crate.hub.from_checkpoint(file, heads=2)
result = float(%s)"""
    assert client(load % again, expected=expected) <= 1e-6


@pytest.mark.any_backend
def test_the_card_says_what_was_given_and_what_is_measured(server, client):
    metadata, body = _card(server, "writer/digits")
    assert metadata["library_name"] == "keras"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["license"] == "mit"
    assert metadata["datasets"] == ["ylecun/mnist"]
    assert metadata["metrics"] == ["accuracy"]
    assert metadata["base_model"] == "keras-crate/crate_demo_mnist"
    [index] = metadata["model-index"]
    [result] = index["results"]
    assert index["name"] == "digits"
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"type": "ylecun/mnist", "name": "ylecun/mnist"}
    assert result["metrics"] == [{"type": "accuracy", "value": 0.975}]

    parameters = client("result = trained().count_params()")
    assert f"parameters: {parameters:,}" in body
    for fact in (
        "epochs: 2",
        "optimizer: AdamW",
        "weight_decay: 0.02",
        "steps: 4",
        "loss: sparse_categorical_crossentropy",
    ):
        assert f"\n- {fact}\n" in body
    measured = client("result = str(keras_crate.objective.measure(model, images))")
    assert measured in body
    assert "shorter side is resized to 18" in body
    _run(client, body)
    assert len(re.findall("```python", body)) == 3


@pytest.mark.any_backend
def test_a_card_does_not_say_what_was_not_given(server, client):
    client('keras_crate.hub.push(trained(class_names=None), "hf://keras-crate/plain")')
    metadata, body = _card(server, "keras-crate/plain")
    assert not {"license", "datasets", "metrics", "base_model", "model-index"} & set(metadata)
    for heading in ("Results", "Training", "Layer by layer", "Licence"):
        assert f"## {heading}\n\nNot stated." in body
    assert "decode_predictions" not in body
    assert "class_names.json" not in server.files("keras-crate/plain")


@pytest.mark.any_backend
def test_what_an_earlier_publication_left_is_removed(server, client):
    client("""
from huggingface_hub import HfApi
keras_crate.hub.push(
    trained(), "hf://writer/twice", images=images, dataset="a/b", metrics={"accuracy": 1}
)
HfApi().upload_file(
    path_or_fileobj=b"[]", path_in_repo=".eval_results/more.yaml", repo_id="writer/twice"
)""")
    assert {".eval_results/keras_crate.yaml", ".eval_results/more.yaml"} < set(
        server.files("writer/twice")
    )
    client("""
keras_crate.hub.push(
    trained(1, class_names=None), "hf://writer/twice", authors_copy=False
)""")
    assert set(server.files("writer/twice")) == {
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
        ".eval_results/more.yaml",  # somebody else's
        *KERAS_HUB_FILES,
    }


@pytest.mark.any_backend
def test_a_branch(server, client):
    client('keras_crate.hub.push(trained(), "hf://writer/branches")')
    before = server.files("writer/branches")
    client('keras_crate.hub.push(trained(1), "hf://writer/branches", revision="next")')
    assert server.files("writer/branches") == before
    assert server.files("writer/branches", "next").keys() == before.keys()
    assert (
        server.files("writer/branches", "next")["model.weights.h5"] != (before["model.weights.h5"])
    )


@pytest.mark.any_backend
def test_the_card_of_a_branch_runs(server, client):
    files = server.files("writer/branches", "next")
    body = files["README.md"].decode()
    assert 'load("hf://writer/branches@next")' in body
    _run(client, body)
    before = client("model = trained()\nresult = model.predict(images, verbose=0)")
    after = client(
        'result = keras_crate.hub.pull("hf://writer/branches@next").predict(images, verbose=0)'
    )
    assert np.abs(np.array(before) - after).max() > 1e-3


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "make",
    [
        "keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)",
        "trained(include_top=False)",
        "trained(include_preprocessing=False)",
        "trained(data_format='channels_first', input_shape=(3, 16, 16))",
        "keras.Sequential([keras.Input((16, 16, 3)), trained(include_top=False), "
        "keras.layers.Dense(1)])",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_cards_of_other_models_run(make, server, client):
    if "channels_first" in make and keras.backend.backend() == "tensorflow":
        make = "trained()"  # TensorFlow has no such products on a CPU
    client(f'keras_crate.hub.push({make}, "hf://writer/others", force=True)')
    metadata, body = _card(server, "writer/others")
    _run(client, body)
    is_classifier = make.startswith("trained(") and "include_top" not in make
    assert (metadata.get("pipeline_tag") == "image-classification") == is_classifier
    assert ("white-box" in metadata["tags"]) == (not make.startswith("keras.Seq"))


@pytest.mark.any_backend
def test_what_nobody_could_load_is_not_published(server, client):
    code = """
def own_loss(y, p):
    return keras.losses.categorical_crossentropy(y, p)

model = trained()
model.compile("adam", own_loss)
keras_crate.hub.push(model, "hf://writer/own-loss")"""
    with pytest.raises(ClientError, match=r"model could not be loaded: .*own_loss.*register_keras"):
        client(code)
    with pytest.raises(KeyError):
        server.files("writer/own-loss")


@pytest.mark.any_backend
def test_a_public_repository_does_not_become_private(server, client):
    client('keras_crate.hub.push(trained(), "hf://writer/public")')
    before = server.commits("writer/public")
    with pytest.raises(ClientError, match=r"is there already and is public. Nothing was publ"):
        client('keras_crate.hub.push(trained(1), "hf://writer/public", private=True)')
    assert server.commits("writer/public") == before
    client('keras_crate.hub.push(trained(), "hf://writer/hidden", private=True)')
    client('keras_crate.hub.push(trained(1), "hf://writer/hidden", private=True)')
    with pytest.raises(ClientError, match="no repository"):
        client("""
import huggingface_hub
os = __import__("os")
token = os.environ.pop("HF_TOKEN")
try:
    keras_crate.hub.pull("hf://writer/hidden")
finally:
    os.environ["HF_TOKEN"] = token""")


@pytest.mark.any_backend
def test_settings_that_tensors_do_not_hold(server, client):
    client('keras_crate.hub.push(trained(penalty=0.4, pooling="avg"), "hf://writer/settings")')
    assert "does not hold `penalty=0.4, pooling='avg'`" in _card(server, "writer/settings")[1]


@pytest.mark.any_backend
def test_models_that_the_authors_code_has_not(server, client):
    client("""
tssa = trained(compress="tssa")
keras_crate.hub.push(tssa, "hf://writer/tssa")
cbsa = trained(stem="convolution", compress="cbsa")
keras_crate.hub.push(cbsa, "hf://writer/cbsa")
int8 = trained()
int8.quantize("int8")
keras_crate.hub.push(int8, "hf://writer/int8")
""")
    for name in ("tssa", "cbsa", "int8"):
        assert "model.safetensors" not in server.files(f"writer/{name}")
        expected = client(f"result = {name}.predict(images, verbose=0)")
        found = client(
            f'result = keras_crate.hub.pull("hf://writer/{name}").predict(images, verbose=0)'
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ClientError, match="authors' code has no such model"):
        client('keras_crate.hub.push(tssa, "hf://writer/tssa", authors_copy=True)')


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        ('push(trained(), "digits")', "ValueError", "hf://user/repository"),
        ('push(trained(), "hf://digits")', "ValueError", "hf://user/repository"),
        ('push(trained(), "hf://writer/a", token="")', "ValueError", "no token .* HF_TOKEN"),
        ('push(trained(), "hf://writer/a", token=" ")', "ValueError", "no token"),
        (
            'push(trained(), "hf://writer/a", token="hf_wri\\nter")',
            "ValueError",
            "one word of plain",
        ),
        (
            'push(trained(), "hf://writer/a", token="hf_wr\u00eeter")',
            "ValueError",
            "one word of pl",
        ),
        ('push(trained(), "hf://writer/a", license="MIT!")', "ValueError", "`license` must be"),
        ('push(trained(), "hf://writer/a", base_model="x")', "ValueError", "`base_model` must be"),
        ('push(trained(), "hf://writer/a", dataset="a\\nb")', "ValueError", "`dataset` must be"),
        (
            'push(trained(), "hf://somebody/a")',
            "PermissionError",
            "hf://somebody/a is not yours: you are writer and belong to keras-crate. "
            "Publish as hf://writer/a",
        ),
        (
            'push(trained(), "hf://reader/a", token="hf_reader")',
            "PermissionError",
            "token of the Hub may only read",
        ),
        (
            'push(trained(), "hf://writer/a", token="hf_wrong")',
            "PermissionError",
            "not published: the Hub does not accept your token",
        ),
        (
            "push(keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8), "
            '"hf://writer/a")',
            "ValueError",
            "never trained.*`force=True`",
        ),
        (
            'push(trained(), "hf://writer/a", metrics={"accuracy": 0.5})',
            "ValueError",
            "`metrics` need the `dataset`",
        ),
        (
            'push(trained(), "hf://writer/a", dataset="x", metrics={"accuracy": float("nan")})',
            "ValueError",
            "`metrics` must be finite",
        ),
        ('push(trained(), "hf://writer/a", license="")', "ValueError", "`license` must be"),
    ],
)
def test_refusals(call, kind, message, server, client):
    with pytest.raises(ClientError, match=message) as raised:
        client(f"keras_crate.hub.{call}")
    assert raised.value.kind == kind
    with pytest.raises(KeyError):
        server.files("writer/a")


@pytest.mark.any_backend
def test_the_docstrings_examples_run(server, client):
    for function in ("push", "pull"):
        text = client(f"result = keras_crate.hub.{function}.__doc__")
        [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if function == "pull":
            client('keras_crate.hub.push(trained(), "hf://writer/digits", revision="v1")')
        client("model = trained()\n" + textwrap.dedent(example).replace("user/", "writer/"))
    assert "accuracy" in _card(server, "writer/crate-digits")[1]


@pytest.mark.any_backend
def test_an_untrained_model_by_force(server, client):
    client("""
model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2)
keras_crate.hub.push(model, "hf://writer/untrained", force=True)
""")
    assert "config.json" in server.files("writer/untrained")


@pytest.mark.any_backend
@pytest.mark.parametrize("status", [403, 412, 503])
def test_a_refused_commit_leaves_nothing(status, server, client):
    server.faults.append(Fault("POST", "/commit/", status=status, message="not now hf_writer"))
    with pytest.raises(ClientError, match=rf"was not published: .*status {status}") as error:
        client(f'keras_crate.hub.push(trained(), "hf://writer/refused-{status}")')
    assert "hf_writer" not in str(error.value)
    assert server.files(f"writer/refused-{status}") == {}


@pytest.mark.any_backend
def test_a_busy_hub_is_asked_again(server, client):
    for status in (429, 503):
        fault = Fault("POST", "/preupload/", status=status, headers={"Retry-After": "0"}, times=1)
        server.faults.append(fault)
    client('keras_crate.hub.push(trained(), "hf://writer/busy")')
    assert "config.json" in server.files("writer/busy")


@pytest.mark.any_backend
@compiles_long
@pytest.mark.parametrize("when", ["POST /commit/", "PUT /"])
def test_a_killed_push_publishes_nothing(when, server, tmp_path):
    method, path = when.split(" ")
    name = f"writer/killed-{method.lower()}"
    fault = Fault(method, path, stall=30)
    server.faults.append(fault)
    with HubClient(server, tmp_path) as doomed:
        doomed.tell(MODELS + f'keras_crate.hub.push(trained(), "hf://{name}")')
        for _ in range(600):
            if fault.seen:
                break
            time.sleep(0.1)
        assert fault.seen, "the push did not come so far"
        doomed.kill()
    time.sleep(0.2)
    assert server.files(name) == {}
    assert len(server.commits(name)) == 1


@pytest.mark.any_backend
def test_no_token_is_written_anywhere(server, client):
    texts = [client.printed]
    texts += [p.read_bytes().decode("latin1") for p in client.home.rglob("*") if p.is_file()]
    for name in ("writer/digits", "writer/twice"):
        texts += [content.decode("latin1") for content in server.files(name).values()]
    assert len(texts) > 10
    assert not any("hf_writer" in text for text in texts)
