import dataclasses
import json

import numpy as np
import pytest
import small_run

import keras_crate
from keras_crate.data import open_data
from keras_crate.training import Comparison, compare

RECIPE = small_run.RECIPE.with_changes(epochs=1, ema=None, batch_size=48)
RUNS = {"recipe": RECIPE, "limit": 48, "verbose": 0}


def _maker(compress, made):
    def make(seed):
        made.append((compress, seed))
        return keras_crate.CRATE(
            16, 1, 2, compress=compress, input_shape=(8, 8, 1), patch_size=4, classes=10
        )

    return make


@pytest.mark.any_backend
def test_runs_a_table_and_a_figure(tmp_path, capsys):
    made: list = []
    models = {name.upper(): _maker(name, made) for name in ("mssa", "tssa")}
    found = compare(models, "digits", tmp_path, seeds=(3, 4), **RUNS)
    assert made == [("mssa", 3), ("tssa", 3), ("mssa", 4), ("tssa", 4)]
    metrics = [
        json.loads((tmp_path / f"TSSA/seed-{seed}/metrics.json").read_text()) for seed in (3, 4)
    ]
    np.testing.assert_allclose(found.accuracies("TSSA"), [m["val_accuracy"] for m in metrics])
    assert (tmp_path / "comparison.md").read_text() == f"{found}\n"
    assert json.loads((tmp_path / "comparison.json").read_text())["parameters"] == found.parameters
    assert (tmp_path / "comparison.png").read_bytes()[:4] == b"\x89PNG"

    # Finished runs are read, and one more seed is trained.
    before = (tmp_path / "MSSA/seed-3/metrics.json").stat().st_mtime_ns
    again = compare(models, "digits", tmp_path, seeds=(3, 4, 5), **{**RUNS, "verbose": 1})
    assert again.histories["MSSA"][:2] == found.histories["MSSA"]
    assert (tmp_path / "MSSA/seed-3/metrics.json").stat().st_mtime_ns == before
    assert capsys.readouterr().out.count(", seed 5: validation accuracy ") == 2
    other = {**RUNS, "recipe": RECIPE.with_changes(learning_rate=1e-5)}
    with pytest.raises(ValueError, match=r"Another run was begun in .*: learning_rate was 0.002"):
        compare(models, "digits", tmp_path, seeds=(3,), **other)
    with pytest.raises(ValueError, match=r"comparison of these models. Received: .* has TSSA"):
        compare({"MSSA": models["MSSA"]}, "digits", tmp_path, **RUNS)


@pytest.mark.any_backend
def test_the_table():
    histories = {
        "a": [{"val_accuracy": [0.1, v], "loss": [2.0, 1.0]} for v in (0.5, 0.6)],
        "b": [{"val_accuracy": [0.1, 0.25], "loss": [2.0, 1.5]}],
    }
    *_, a, b = str(Comparison((0, 1), {"a": 1000, "b": 2}, histories)).splitlines()
    assert a == "| a | 1,000 | 55.0 ± 7.1 | 1.000 ± 0.000 |"
    assert b == "| b | 2 | 25.0 | 1.500 |"
    tested = {"a": [0.3, 0.3], "b": [0.2]}
    head, _, a, b = str(Comparison((0, 1), {"a": 1000, "b": 2}, histories, tested)).splitlines()
    assert "| test accuracy, % | validation accuracy, % |" in head
    assert a == "| a | 1,000 | 30.0 ± 0.0 | 55.0 ± 7.1 | 1.000 ± 0.000 |"
    assert b == "| b | 2 | 20.0 | 25.0 | 1.500 |"


def test_test_images(tmp_path, capsys):
    digits = open_data("digits", validation=0.1)
    digits = dataclasses.replace(digits, test=digits.validation)
    models = {"MSSA": _maker("mssa", [])}
    found = compare(models, digits, tmp_path, seeds=(3,), **{**RUNS, "verbose": 1})
    metrics = json.loads((tmp_path / "MSSA/seed-3/metrics.json").read_text())
    assert found.test_accuracies == {"MSSA": [metrics["test_accuracy"]]}
    assert metrics["test_accuracy"] == pytest.approx(metrics["best_val_accuracy"])
    assert f"test accuracy {metrics['test_accuracy']:.2%}" in capsys.readouterr().out
    again = compare(models, digits, tmp_path, seeds=(3,), **RUNS)  # read from the folder
    assert again.test_accuracies == found.test_accuracies
    other = dataclasses.replace(digits, test=digits.train)
    with pytest.raises(ValueError, match=r"test_images was 144"):
        compare(models, other, tmp_path, seeds=(3,), **RUNS)


@pytest.mark.any_backend
def test_what_is_refused(tmp_path):
    make = _maker("mssa", [])
    arrays = (np.zeros((4, 8, 8, 1), "uint8"), np.arange(4) % 2)
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(8, 8, 1), patch_size=4)
    for models, data, options, message in (
        ({"a/b": make}, "digits", {}, r"names of folders.* Received: 'a/b'"),
        ({"a": mae}, "digits", {}, "functions from a seed to a model.* a CRATEMAE"),
        ({"a": lambda seed: mae}, "digits", {}, "must return a classifier. Received: a CRATEMAE"),
        ({"a": lambda seed: None}, "digits", {}, "must return a classifier. Received: a NoneType"),
        ({}, "digits", {}, "There must be a model"),
        ({"a": make}, "digits", {"seeds": (1, 1)}, r"different ones. .* seeds=\(1, 1\)"),
        ({"a": make}, arrays, {}, "must be validation images. Received: none with arrays"),
    ):
        with pytest.raises(ValueError, match=message):
            compare(models, data, tmp_path / "out", **{**RUNS, **options})
    assert not (tmp_path / "out").exists()
