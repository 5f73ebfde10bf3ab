"""`weights`, `verify`, `convert`: in this process; `push`, `pull`: against a server."""

import json

import keras
import numpy as np
import pytest
from authors import golden, state_of
from hub_client import HubClient
from hub_server import HubServer

import keras_crate
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend


@pytest.fixture
def checkpoint(tmp_path):
    from safetensors.numpy import save_file

    state = {k: np.ascontiguousarray(v) for k, v in state_of(golden("crate_micro")).items()}
    save_file(state, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def test_weights(capsys):
    assert main(["weights"]) == 0
    assert "crate_alpha_base_imagenet21k_imagenet" in capsys.readouterr().out
    assert main(["weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"variant", "call", "top1", "state", "cached"} <= rows[0].keys()


def test_verify(capsys, tmp_path):
    for digit in "05":
        (tmp_path / digit).mkdir()
        pixels = np.full((28, 28, 1), 255.0 * (digit == "5"))
        keras.utils.save_img(tmp_path / digit / "a.png", pixels, scale=False)
    assert main(["verify", "crate_demo_mnist"]) == 0
    assert "accuracy     not measured" in capsys.readouterr().out
    assert main(["verify", "crate_demo_mnist", "--imagenet", str(tmp_path)]) == 0
    assert "images 2," in capsys.readouterr().out
    assert main(["verify", "crate_demo_mnst"]) == 1
    assert "crate_demo_mnist" in capsys.readouterr().err


def test_convert_there_and_back(checkpoint, tmp_path, capsys):
    out, back = tmp_path / "a.keras", tmp_path / "b.safetensors"
    for message, *words in (
        ("Pass `heads=`",),
        ("Did you mean", "--heads", "4", "--set", "penlty=1"),
    ):
        assert main(["convert", str(checkpoint), str(out), *words]) == 1
        assert message in capsys.readouterr().err
        assert not out.exists()
    command = ["convert", str(checkpoint), str(out), "--heads", "4", "--set", "penalty=0.25"]
    assert main([*command, "--set", "classifier_activation=sigmoid"]) == 0
    assert "CRATE, " in capsys.readouterr().out
    model = keras.saving.load_model(out)
    assert (model.settings.penalty, model.settings.heads) == (0.25, 4)
    assert model.settings.classifier_activation in ("sigmoid", keras.activations.sigmoid)
    assert main(["convert", str(out), str(back)]) == 0
    again = keras_crate.hub.from_checkpoint(back, heads=4)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_push_and_pull(model_file, tmp_path):
    image = tmp_path / "0.png"
    keras.utils.save_img(image, np.random.default_rng(0).uniform(0, 255, (28, 28, 1)))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/model.keras").write_bytes(model_file.read_bytes())
    evaluation = {"size": [16, 16], "resize": [16, 16], "interpolation": "bilinear"}
    (tmp_path / "run/evaluation.json").write_text(json.dumps(evaluation))
    digits = ["crate_demo_mnist", "hf://writer/digits", "--dataset", "mnist", "--metric"]
    with HubServer() as hub, HubClient(hub, tmp_path / "home") as client:
        client("from keras_crate_cli import main")
        for status, message, *words in (
            (0, "published hf://writer/digits: http://", "push", *digits, "accuracy=0.977",
             "--license", "mit", "--images", image, "--training", "epochs=90",
             "--training", "rate=1e-3"),
            (0, "published", "push", tmp_path / "run/model.keras", "hf://writer/run", "--force"),
            (0, "published", "push", model_file, "hf://writer/file", "--force"),
            (0, "wrote", "pull", "hf://writer/digits", tmp_path / "a.keras"),
            (1, "a.keras exists", "pull", "hf://writer/digits", tmp_path / "a.keras"),
            (1, "there is no repository hf://writer/none", "pull", "hf://writer/none",
             tmp_path / "b.keras"),
            (1, "hf://somebody/digits is not yours: you are writer", "push", "crate_demo_mnist",
             "hf://somebody/digits"),
        ):  # fmt: skip
            before = len(client.printed)
            assert client("result = main(words)", words=list(map(str, words))) == status
            assert message in client.printed[before:]
        assert "hf_writer" not in client.printed
        files = {name: hub.files(f"writer/{name}") for name in ("digits", "run", "file")}
    assert b"accuracy | 0.977" in files["digits"]["README.md"]
    assert b"- epochs: 90\n" in files["digits"]["README.md"]
    assert b"- rate: 0.001\n" in files["digits"]["README.md"]
    assert "layers.png" in files["digits"]
    assert keras.saving.load_model(tmp_path / "a.keras").class_names[3] == "3"
    assert not (tmp_path / "b.keras").exists()
    # How images are prepared goes along where it is known: to a variant, or to a run.
    kept = {k: json.loads(v["config.json"])["config"].get("evaluation") for k, v in files.items()}
    assert kept == {
        "digits": {"size": [28, 28], "resize": [28, 28], "interpolation": "bilinear"},
        "run": evaluation,  # from the file that version 0.1 wrote
        "file": None,
    }
    assert not any("evaluation.json" in repository for repository in files.values())
