"""The files that make a publication a preset of KerasHub, without KerasHub."""

import importlib
import json
import sys

import keras
import pytest

import keras_crate
from keras_crate.hub.keras_hub_files import KERAS_HUB_FILES

pytestmark = pytest.mark.any_backend

SETTINGS = {"dim": 16, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def published(model, folder) -> set[str]:
    keras_crate.hub.push(model, "hf://user/name", dry_run=folder, force=True)
    return {path.name for path in folder.iterdir()}


def test_a_classifier_is_a_task(tmp_path):
    model = keras_crate.CRATE(**SETTINGS, classes=3)
    assert published(model, tmp_path / "x") >= set(KERAS_HUB_FILES)
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["registered_name"] == "keras_crate>CRATEBackbone"
    assert type(keras.saving.load_model(tmp_path / "x")) is keras_crate.CRATE


def test_features_are_a_backbone(tmp_path):
    model = keras_crate.CRATE(**SETTINGS, include_top=False)
    names = published(model, tmp_path / "x")
    assert "image_converter.json" in names and "task.json" not in names


def test_others_are_no_presets(tmp_path):
    masked = keras_crate.CRATEMAE(**SETTINGS)
    assert not published(masked, tmp_path / "masked") & set(KERAS_HUB_FILES)
    quantised = keras_crate.CRATE(**SETTINGS, classes=3)
    quantised.quantize("int8")
    assert not published(quantised, tmp_path / "int8") & set(KERAS_HUB_FILES)
    # A second dry run leaves no file of the first.
    published(keras_crate.CRATE(**SETTINGS, classes=3), tmp_path / "int8")
    assert not published(quantised, tmp_path / "int8") & set(KERAS_HUB_FILES)


def test_without_kerashub_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="pip install keras-hub"):
        importlib.import_module("keras_crate.keras_hub")
