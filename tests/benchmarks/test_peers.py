"""benchmarks/peers.py: what it compares is the same computation, and what it writes."""

import json
import sys
import types

import contenders
import keras
import numpy as np
import peers
import pytest
import report
import timing
from compare import assert_close
from machine import machine
from marks import TORCH, compiles_long

from keras_crate import CRATE


def _small(*_, **options):
    return CRATE(
        24, 2, 3, input_shape=(224, 224, 3), patch_size=56, include_preprocessing=False,
        classifier_activation=None, data_format="channels_last", **options,
    )  # fmt: skip


@pytest.mark.skipif(not TORCH, reason="the comparison is with PyTorch, which is not installed")
def test_eager_pytorch_computes_the_same_and_trains_alike():
    from eager import EagerCRATE

    model = _small()
    eager = EagerCRATE(model, device="cpu")
    images, labels = contenders.images_and_labels(4)
    assert_close(eager.predict(images), model.predict_on_batch(images), atol=1e-5)
    contenders.compile_to_train(model)
    losses = [(eager.train(images, labels), model.train_on_batch(images, labels)) for _ in range(3)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-3)


@pytest.mark.any_backend
def test_runs_are_interleaved_and_compared_round_by_round():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = timing.interleaved(calls, 4)
    assert "".join(order) == "abcbcacababc"
    assert {len(s) for s in seconds.values()} == {4}
    assert timing.ratio({"a": [2, 30, 4], "b": [1, 10, 4]}, "a", "b") == 2


def test_compiled_waits_for_the_result(rng):
    a, b = (rng.normal(size=(3, 3)).astype("float32") for _ in range(2))
    tensors = [keras.ops.convert_to_tensor(x) for x in (a, b)]
    found = timing.compiled(keras.ops.matmul, *tensors)()
    assert_close(found[0] if isinstance(found, list) else found, a @ b, atol=1e-5)


@compiles_long
def test_the_report_of_a_small_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "keras_hub", types.ModuleType("keras_hub"))  # not called
    monkeypatch.setattr(contenders, "crate", _small)
    monkeypatch.setattr(contenders, "vit", lambda side=224, **options: _small(**options))
    monkeypatch.setattr(
        peers, "matrix_product", lambda rows, *rest: timing.matrix_product(64, 64, "float32")
    )
    words = ["--quick", "--batches", "2", "1", "--rounds", "1", "--output", str(tmp_path)]
    peers.main(words)
    assert "train, batch 2: CRATE-B takes" in capsys.readouterr().out
    (file,) = tmp_path.glob("*.json")
    results = json.loads(file.read_text())
    assert [(r["task"], r["batch"]) for r in results["comparisons"]] == [
        ("predict", 1), ("predict", 2), ("train", 1), ("train", 2)
    ]  # fmt: skip
    assert results["machine"]["backend"] == keras.backend.backend()
    row = results["comparisons"][0]
    assert row["ratios"].keys() == row["seconds"].keys() - {"CRATE-B fused"}
    assert min(row["seconds"].values()) > 0
    table = file.with_suffix(".md").read_text()
    assert f"{row['ratios'][contenders.VIT]:.2f}" in table
    assert file.with_suffix(".png").stat().st_size > 5000


@pytest.mark.any_backend
def test_the_report_shows_every_measurement():
    comparison = {
        "task": "predict", "batch": 8, "rounds": 3,
        "seconds": {"CRATE-B fused": 2.0, contenders.VIT: 4.0},
        "ratios": {contenders.VIT: 0.51},
        "first_step_seconds": {"CRATE-B fused": 3.5, contenders.VIT: 4.5},
        "gflops_of_matrix_product": 100.0,
        "share_of_matrix_rate": {"CRATE-B fused": 0.77, contenders.VIT: 0.66},
    }  # fmt: skip
    results = {
        "machine": machine(),
        "policy": "float32",
        "comparisons": [comparison],
        "import_seconds": {"keras_crate": 3.21},
        "memory_mib": {"train": {"CRATE-B": 1234.4, contenders.VIT: 2345.0}},
        "scaling": [
            {"model": "CRATE-B fused", "side": 384, "batch": 4, "seconds_per_image": 0.1234}
        ],
        "parts_seconds": {"MSSA: attention": 0.25, "sum": 0.25, "whole model": 1.0},
    }
    text = report.markdown(results)
    cells = "4.00 77% 3.5 0.51 66% 4.5 3.21 1,234 0.1234 25.0% 50.0%"
    for cell in cells.split():
        assert f"| {cell} |" in text
    assert len(report.figure(results).axes) == 3


@pytest.mark.any_backend
@pytest.mark.parametrize("words", [["--batches", "0"], ["--rounds", "0"]])
def test_bad_numbers_are_refused(words, tmp_path):
    with pytest.raises(ValueError, match="must be a positive integer"):
        peers.main([*words, "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.any_backend
def test_without_keras_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    for call in (contenders.vit, lambda: peers.run([1], 1, "float32", ["predict"])):
        with pytest.raises(ImportError, match="pip install keras-hub"):
            call()
