"""What the commands refuse, in one line that says what to do."""

import re

import keras
import pytest

from keras_crate import CRATE
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models that a command cannot use."""
    folder = tmp_path_factory.mktemp("models")
    CRATE(24, 1, 2, include_top=False, **SMALL).save(folder / "headless.keras")
    CRATE(24, 1, 2, classes=2, include_preprocessing=False, **SMALL).save(folder / "bare.keras")
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()]).save(
        folder / "plain.keras"
    )
    (folder / "damaged.keras").write_bytes(b"no model")
    return folder


@pytest.fixture
def labelled(folder):
    """A folder with a class of images that are broken, and one that is not a class."""
    (folder / "dog").mkdir()
    (folder / "2-broken.png").rename(folder / "dog/broken.png")
    (folder.parent / "wrong/dgo").mkdir(parents=True)
    (folder / "0.png").rename(folder.parent / "wrong/dgo/0.png")
    return folder


def test_evaluate(model_file, models, labelled, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    for message, *words in (
        ("There is no data set and no folder", model_file, tmp_path / "nowhere"),
        ("one folder", model_file, tmp_path / "empty"),
        ("dgo", model_file, tmp_path / "wrong"),
        ("nowhere.keras", "nowhere.keras", labelled),
        ("must be a classifier", models / "headless.keras", labelled),
        ("include_preprocessing=False", models / "bare.keras", labelled),
        ("--json must be a file in a", model_file, labelled, "--json", tmp_path / "no/a.json"),
        ("--confusion must be a file", model_file, labelled, "--confusion", tmp_path / "empty"),
        ("`resize` must be", model_file, labelled, "--resize", "0"),
        ("`batch_size` must be", model_file, labelled, "--batch-size", "0"),
        ("ReaL's labels need a model of ImageNet's", model_file, labelled, "--real", "a.json"),
        ("None of the 1 files could be read", model_file, labelled),
    ):
        assert message in refused("evaluate", *words)
    assert "left out" in refused("evaluate", model_file, labelled)
    with pytest.raises(SystemExit):
        main(["evaluate", str(model_file), str(labelled), "--crop", "--resize", "18"])


def test_probe(model_file, models, folder, tmp_path, refused):
    for message, *words in (
        ("There is no data set and no folder", model_file, tmp_path / "nowhere"),
        ("nowhere.keras", "nowhere.keras", "digits"),
        ("include_preprocessing=False", models / "bare.keras", "digits"),
        ("`knn` must be a positive integer", model_file, "digits", "--knn", "0"),
        ("`temperature` must be a number above", model_file, "digits", "--temperature", "0"),
        ("--json must be a file in a", model_file, "digits", "--json", tmp_path / "no/a.json"),
    ):
        assert message in refused("probe", *words)


def test_predict(model_file, models, folder, tmp_path, refused, capsys):
    for message, *words in (
        ("`top` must be a positive integer", model_file, folder, "--top", "0"),
        ("no file or folder", model_file, tmp_path / "nowhere.png"),
        ("must be a classifier", models / "headless.keras", folder),
        ("nowhere.keras", "nowhere.keras", folder),
    ):
        assert message in refused("predict", *words)
    assert capsys.readouterr().out == ""


def test_look(model_file, models, folder, tmp_path, refused):
    output = ["--output", tmp_path / "out"]
    for message, *words in (
        ("numbers 0, 1", folder / "0.png", "--layer", "5"),
        ("divisible", folder / "0.png", "--size", "20"),
        ("`size` must be a positive integer", folder / "0.png", "--size", "0"),
        ("`objects` must be a positive integer", folder / "0.png", "--objects", "0"),
        ("None of the 1 files could be read", folder / "2-broken.png"),
    ):
        assert message in refused("look", model_file, *words, *output)
    assert not (tmp_path / "out").exists()


def test_measure(model_file, models, folder, tmp_path, refused):
    output = ["--output", tmp_path / "out"]
    for message, *words in (
        ("no model file", "nowhere.keras", folder),
        ("is truncated or damaged", models / "damaged.keras", folder),
        ("must have white-box blocks", models / "plain.keras", folder),
        ("no file or folder", model_file, tmp_path / "nowhere"),
    ):
        assert message in refused("measure", *words, *output)
    error = refused("measure", model_file, folder / "2-broken.png", *output)
    assert "left out" in error and "2-broken.png" in error and "at least one image" in error
    (tmp_path / "file").write_text("")
    error = refused("measure", model_file, folder, "--output", tmp_path / "file")
    assert "The folder" in error and error.count("\n") == 1
    with pytest.raises(SystemExit):
        main(["measure", str(model_file)])


def test_demo(tmp_path, refused):
    error = refused("demo", "--output", tmp_path, "--fast", "--epochs", "0")
    assert "`epochs` must be a positive integer. Received: epochs=0" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("{in} {dir}/a.h5", "OUT must end in .keras. Received"),
        ("{dir}/a.keras {dir}/b.keras", "OUT must end in .safetensors or .pth or .pt"),
        ("{in} {in}.keras", "exists. Pass --overwrite"),
        ("{in} {dir}/folder.keras --overwrite", "must be a file in a folder that exists"),
        ("{in} {dir}/none/a.keras", "must be a file in a folder that exists"),
        ("{dir}/none.pth {dir}/a.keras", "There is no .*none.pth"),
        ("{in} {dir}/a.keras --set penalty", "--set must be NAME=VALUE. Received: penalty"),
        ("{in}.keras {dir}/a.pth --set penalty=1", "has its own settings. Received: penalty"),
    ],
)
def test_convert(words, message, tmp_path, refused):
    (tmp_path / "a.safetensors").write_bytes(b"no checkpoint")
    (tmp_path / "a.safetensors.keras").write_bytes(b"old")
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "folder.keras/file").write_text("")
    words = words.format(**{"in": tmp_path / "a.safetensors", "dir": tmp_path})
    assert re.search(message, refused("convert", *words.split()))
    assert not (tmp_path / "a.keras").exists() and (tmp_path / "folder.keras/file").exists()
    assert (tmp_path / "a.safetensors.keras").read_bytes() == b"old"


def test_push(refused):
    error = refused("push", "crate_demo_mnist", "hf://a/b", "--metric", "accuracy=much")
    assert "--metric must be NAME=NUMBER. Received: accuracy=much" in error
    error = refused("push", "crate_demo_mnist", "hf://a/b", "--training", "epochs")
    assert "--training must be NAME=VALUE. Received: epochs" in error
