import dataclasses
import json
import sys

import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import data, objective
from keras_crate.training import demo_from_scratch as demo
from keras_crate.training.demo_results import MARKER

TASTE = dataclasses.replace(demo.FAST, epochs=2, train_images=512, depth=2, dim=32)


@pytest.fixture(scope="module")
def taste(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    lines = []
    metrics = demo.run_demo_from_scratch(folder, TASTE, say=lines.append)
    return folder, metrics, "\n".join(lines)


def test_writes_model_metrics_and_figure_and_says_where(taste):
    folder, metrics, said = taste
    names = {"layers.png", "metrics.json", "model.keras"}
    assert {path.name for path in folder.iterdir()} == {*names, MARKER}
    for name in names:
        assert f"wrote {folder / name}" in said
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (folder / "layers.png").read_bytes()[:4] == b"\x89PNG"


def test_the_line_it_ends_with_loads_the_model(taste):
    _, metrics, said = taste
    scope = {}
    exec(said.splitlines()[-1].strip(), scope)
    model = scope["model"]
    assert model.class_names == tuple("0123456789")
    digits = data.load("mnist5k").validation
    accuracy = (model.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels).mean()
    assert accuracy == pytest.approx(metrics["accuracy"])
    assert objective.measure(model, digits.images[:256]).to_dict() == metrics["layers"]
    for labels in (digits.labels, digits.labels[:, None], np.eye(10)[digits.labels]):
        found = model.evaluate(digits.images, labels, verbose=0, return_dict=True)
        assert found["accuracy"] == pytest.approx(metrics["accuracy"])


def test_it_learns(taste):
    _, metrics, _ = taste
    loss = metrics["history"]["loss"]
    assert loss[-1] < loss[0]
    assert metrics["layers"] != metrics["layers_untrained"]


def test_without_matplotlib_it_says_so_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"Figures need matplotlib.*pip install matplotlib"):
        demo.run_demo_from_scratch(tmp_path / "out", TASTE)
    assert not (tmp_path / "out").exists()


def test_same_seed_same_batches():
    digits = data.load("digits").train
    sets = [demo.DistortedImages(digits.images, digits.labels, 100, seed) for seed in (1, 1, 2)]
    (a, _), (b, _), (c, _) = (s[3] for s in sets)
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1
    assert len(sets[0]) == len(digits) // 100
    before = sets[0][3][0]
    sets[0].on_epoch_end()
    assert np.abs(sets[0][3][0] - before).max() > 1


def test_pixels_are_normalised_by_the_training_images():
    model = demo._model(TASTE, tuple("0123456789"), np.full((2, 28, 28, 1), [[[[0]]], [[[255]]]]))
    assert_close(np.array(model.settings.mean), np.array([0.5]), atol=1e-9)
    assert_close(np.array(model.settings.std), np.array([0.5]), atol=1e-9)


@pytest.mark.slow
def test_accuracy(tmp_path):
    """The whole demo, some three to four minutes; the numbers are in the README."""
    metrics = demo.run_demo_from_scratch(tmp_path)
    assert metrics["accuracy"] >= (0.96 if keras.backend.backend() == "tensorflow" else 0.97)
    trained, untrained = metrics["layers"], metrics["layers_untrained"]
    assert trained["coding_rate_mean"][-1] < untrained["coding_rate_mean"][-1]
