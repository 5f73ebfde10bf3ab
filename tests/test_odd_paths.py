"""Paths that no file can have, or whose names no terminal shows, in all that take a path."""

import io
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import keras_crate
from keras_crate import CRATE, data, evaluation, export, hub, training
from keras_crate.data.class_folders import labelled_files
from keras_crate.evaluation.real_labels import real_labels
from keras_crate.hub.open_model import open_model
from keras_crate.training.demo_results import demo_folder
from keras_crate.weights.hub_files import Address, in_cache
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend
SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 2}
# 300 letters, 5,000 characters, a NUL, and bytes that are not UTF-8.
PATHS = ["a" * 300, "a/" * 2500 + "b", "nul\0", "caf\udce9"]


@pytest.fixture(scope="module")
def model():
    return CRATE(8, 1, 1, **SMALL)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in ("é.png", os.fsdecode(b"caf\xe9.png")):
        Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(folder / name)
    return folder


READERS = {
    "weights": lambda path: CRATE(8, 1, 1, weights=path, **SMALL),
    "load": keras_crate.load,
    "open_model": open_model,
    "pull": hub.pull,
    "from_checkpoint": hub.from_checkpoint,
    "open_data": data.open_data,
    "hugging_face": lambda path: data.open_data(f"huggingface:{path}"),
    "validation": lambda path: data.open_data("digits", validation=path),
    "ImageFiles": lambda path: data.ImageFiles([path], (8, 8, 3)),
    "labelled_files": labelled_files,
    "load_recipe": training.load_recipe,
    "load_recipe of a file": lambda path: training.load_recipe(f"{path}.toml"),
    "real_labels": lambda path: real_labels(path, []),
    "finetune": lambda path: training.finetune(path, "digits", "run"),
    "pretrain": lambda path: training.pretrain(path, "digits", "run"),
}
WRITERS = {
    "to_pytorch": lambda path, model, images: hub.to_pytorch(model, f"{path}.safetensors"),
    "export": lambda path, model, images: export.export_model(model, f"{path}.onnx"),
    "push": lambda path, model, images: hub.push(model, "hf://a/b", dry_run=path, force=True),
    "predictions": lambda path, model, images: evaluation.write_predictions(
        model, images, f"{path}.csv"
    ),
    "features": lambda path, model, images: evaluation.write_features(model, images, f"{path}.npz"),
    "demo": lambda path, model, images: demo_folder(path),
    "output": lambda path, model, images: training.pretrain("tiny", "digits", path),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("path", PATHS, ids=["name", "path", "nul", "bytes"])
def test_reading(name, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError)) as caught:
        READERS[name](path)
    assert str(caught.value).count("\n") < 4


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("path", PATHS[:3], ids=["name", "path", "nul"])
def test_writing(name, path, model, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, OSError)) as caught:
        WRITERS[name](path, model, images)
    assert str(caught.value).count("\n") < 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("encoding", ["ascii", "utf8"])
def test_names_that_the_terminal_cannot_show(encoding, model, images, tmp_path, monkeypatch):
    model.save(tmp_path / "m.keras")
    monkeypatch.chdir(tmp_path)
    shown = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", shown)
    for words in ([], ["--json"], ["--csv", "out.csv"]):
        assert main(["predict", "m.keras", str(images), *words]) == 0
    shown.flush()
    text = shown.buffer.getvalue().decode(encoding)
    assert "caf\\udce9.png" in text and ("\\xe9.png" if encoding == "ascii" else "é.png") in text
    assert "caf\\udce9.png" in (tmp_path / "out.csv").read_text("utf8")


def test_notes_of_the_cache_that_cannot_be_read(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    address = Address("user/model")
    for content in (b"\xff", None):
        note = tmp_path / "models--user--model" / "refs" / "main"
        shutil.rmtree(tmp_path / "models--user--model", ignore_errors=True)
        note.parent.mkdir(parents=True)
        note.mkdir() if content is None else note.write_bytes(content)
        assert not in_cache(address, "model.keras")
