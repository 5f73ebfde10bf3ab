"""benchmarks/throughput.py: what it writes, and that its training step trains."""

import json

import keras
import numpy as np
import pytest
import throughput
from contenders import images_and_labels
from marks import TORCH, compiles_long

from keras_crate import CRATE


def _small(name, policy):
    return CRATE(
        24, 1, 3, input_shape=(224, 224, 3), patch_size=56, include_preprocessing=False,
        classifier_activation=None, data_format="channels_last", dtype=policy,
    )  # fmt: skip


@compiles_long
def test_a_small_run_adds_an_entry_for_each_model(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "make_model", _small)
    file = tmp_path / "throughput.json"
    other = {"model": "CRATETiny", "backend": "other", "dtype": "float32", "device": "a CPU"}
    old = throughput.measure("CRATETiny", [], 2, "mixed_bfloat16", 0.01)
    file.write_text(json.dumps([other, old]))
    models = ["CRATETiny", "EagerCRATETiny"] if TORCH else ["CRATETiny"]
    words = [
        "--batch",
        "2",
        "--dtype",
        "mixed_bfloat16",
        "--seconds",
        "0.01",
        "--output",
        str(file),
    ]
    assert throughput.main(["--models", *models, *words]) == 0
    first, *entries = json.loads(file.read_text())
    assert first == other
    assert [entry["model"] for entry in entries] == models
    for entry in entries:
        assert entry["backend"] == keras.backend.backend()
        assert (entry["batch"], entry["dtype"]) == (2, "mixed_bfloat16")
        assert entry.keys() >= {"device", "versions", "date"}
        for task in throughput.TASKS:
            assert entry[f"images_per_second_{task}"] > 0


def test_steps_train_the_model():
    images, labels = (keras.ops.convert_to_tensor(x) for x in images_and_labels(4))
    step = throughput.training_step(_small("", "float32"), images, labels)
    losses = [float(keras.ops.convert_to_numpy(step()["loss"])) for _ in range(5)]
    assert losses[-1] < losses[0]  # Keras' loss is a mean over the steps so far


@pytest.mark.any_backend
def test_half_the_batch_is_tried_if_the_memory_is_full(monkeypatch):
    def make_step(name, task, batch, policy):
        if batch > 2 and task == "training":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")
        return lambda: np.zeros(1)

    monkeypatch.setattr(throughput, "make_step", make_step)
    monkeypatch.setattr(throughput, "_free", lambda: None)  # a second each time
    entry = throughput.measure("CRATETiny", throughput.TASKS, 8, "float32", 0.01)
    assert (entry["batch"], entry["batch_training"]) == (8, 2)
    assert "batch_inference" not in entry


@pytest.mark.any_backend
def test_a_model_that_fails_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    def make_step(name, task, batch, policy):
        if name == "CRATEBase":
            raise RuntimeError("no such kernel")
        return lambda: np.zeros(1)

    monkeypatch.setattr(throughput, "make_step", make_step)
    monkeypatch.setattr(throughput, "_free", lambda: None)  # a second each time
    file = tmp_path / "throughput.json"
    words = ["--models", "CRATEBase", "CBTTiny", "--seconds", "0.01", "--output", str(file)]
    assert throughput.main(words) == 1
    assert "not measured: CRATEBase" in capsys.readouterr().err
    assert [entry["model"] for entry in json.loads(file.read_text())] == ["CBTTiny"]


@pytest.mark.any_backend
@pytest.mark.parametrize("words", [["--batch", "0"], ["--seconds", "0"], ["--models", "CRATEbase"]])
def test_bad_options_are_refused(words, tmp_path):
    with pytest.raises(ValueError, match=words[0].strip("-")):
        throughput.main([*words, "--output", str(tmp_path / "out.json")])
    assert not (tmp_path / "out.json").exists()
