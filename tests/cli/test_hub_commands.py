"""`weights`, `verify`, `convert`: in this process; `push`, `pull`: against a server."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from authors import golden, state_of
from hub_server import HubServer

import keras_crate
from keras_crate.cli.main import main


@pytest.fixture
def checkpoint(tmp_path):
    from safetensors.numpy import save_file

    state = {k: np.ascontiguousarray(v) for k, v in state_of(golden("crate_micro")).items()}
    save_file(state, tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


@pytest.mark.any_backend
def test_weights(capsys):
    assert main(["weights"]) == 0
    assert "crate_alpha_base_imagenet21k_imagenet" in capsys.readouterr().out
    assert main(["weights", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"variant", "call", "top1", "state", "cached"} <= rows[0].keys()


@pytest.mark.any_backend
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
    assert "Did you mean crate_demo_mnist" in capsys.readouterr().err


@pytest.mark.any_backend
def test_convert_there_and_back(checkpoint, tmp_path, capsys):
    out, back = tmp_path / "a.keras", tmp_path / "b.safetensors"
    assert main(["convert", str(checkpoint), str(out)]) == 1
    assert "Pass `heads=`" in capsys.readouterr().err
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


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{in}", "{dir}/a.h5"], "OUT must end in .keras. Received"),
        (["{dir}/a.keras", "{dir}/b.keras"], "OUT must end in .safetensors or .pth or .pt"),
        (["{in}", "{in}.keras"], "is there already. Pass --overwrite"),
        (["{in}", "{dir}/none/a.keras"], "folder of .*a.keras does not exist"),
        (["{dir}/none.pth", "{dir}/a.keras"], "There is no checkpoint at .*none.pth"),
        (["{in}", "{dir}/a.keras", "--set", "penalty"], "--set takes NAME=VALUE. Received: pena"),
        (["{in}", "{dir}/a.keras", "--heads", "4", "--set", "penlty=1"], "takes no argument"),
    ],
)
def test_conversions_that_are_refused(words, message, checkpoint, tmp_path, capsys):
    import re

    (tmp_path / "a.safetensors.keras").write_bytes(b"old")
    words = [w.replace("{in}", str(checkpoint)).replace("{dir}", str(tmp_path)) for w in words]
    assert main(["convert", *words]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "a.keras").exists()
    assert (tmp_path / "a.safetensors.keras").read_bytes() == b"old"


@pytest.mark.any_backend
def test_push_and_pull(tmp_path):
    keras.utils.save_img(tmp_path / "0.png", np.random.default_rng(0).uniform(0, 255, (28, 28, 1)))
    code = f"""
from keras_crate.cli.main import main
statuses = [
    main(["push", "crate_demo_mnist", "hf://writer/digits", "--dataset", "mnist", "--metric",
          "accuracy=0.977", "--license", "mit", "--images", {str(tmp_path / "0.png")!r},
          "--training", "epochs=90"]),
    main(["pull", "hf://writer/digits", {str(tmp_path / "a.keras")!r}]),
    main(["pull", "hf://writer/digits", {str(tmp_path / "a.keras")!r}]),
    main(["pull", "hf://writer/none", {str(tmp_path / "b.keras")!r}]),
    main(["push", "crate_demo_mnist", "hf://somebody/digits"]),
    main(["push", "crate_demo_mnist", "hf://writer/digits", "--metric", "accuracy=much"]),
]
print(statuses)
"""
    with HubServer() as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home")}
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert "[0, 0, 1, 1, 1, 1]" in run.stdout, run.stderr
        assert "published hf://writer/digits: http://" in run.stdout
        for message in (
            "a.keras is there already. Pass --overwrite",
            "There is no repository hf://writer/none",
            "hf://somebody/digits is not yours: you are writer",
            "--metric takes NAME=NUMBER",
        ):
            assert message in run.stderr
        assert "hf_writer" not in run.stdout + run.stderr
        files = hub.files("writer/digits")
    assert b"accuracy | 0.977" in files["README.md"]
    assert b'"epochs": "90"' in files["README.md"]
    assert "layers.png" in files
    assert keras.saving.load_model(tmp_path / "a.keras").class_names[3] == "3"
    assert not (tmp_path / "b.keras").exists()
