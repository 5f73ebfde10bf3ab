"""docs/scaling.md: numbers in its text, and its program for Kinetic."""

import json
import re
import sys
import types

import pytest
import scaling
from multiplications import of_size
from write_pages import ROOT

from keras_crate import training
from keras_crate.checks import argument_names

pytestmark = pytest.mark.any_backend

PAGE = (ROOT / "docs" / "scaling.md").read_text("utf8")


def test_numbers_in_the_text_of_the_page():
    step = scaling.training_step("CRATELarge", scaling.CHIPS["TPU v5e"], 256, 4096)
    assert f"efficiency on TPU v5e is {step.efficiency:.0%}" in PAGE
    sent = 1e-6 * scaling.gradient_bytes(scaling.network("CRATELarge"))
    assert f"all-reduces {sent:.0f} MB" in PAGE
    entries = json.loads((ROOT / "benchmarks/results/throughput_h200.json").read_text("utf8"))
    (rate,) = (
        entry["images_per_second_training"] for entry in entries if entry["model"] == "CRATELarge"
    )
    operations = 2 * scaling.PASSES * of_size("CRATELarge")
    assert f"reached {rate * operations / scaling.CHIPS['H100 SXM'].flops:.0%} of" in PAGE


def test_the_page_says_what_was_not_measured():
    there = [*(ROOT / "benchmarks" / "results").glob("distributed_*.json")]
    assert ("not measured" in PAGE) == (not there), "fill in the table of docs/scaling.md"


def test_the_program_for_kinetic_trains(monkeypatch, capsys):
    """With a stand-in for Kinetic, which calls the function here."""
    asked, trained = {}, {}

    def run(**options):
        asked.update(options)
        return lambda function: function

    def pretrain(model, data, output, **options):
        trained.update(options, model=model, data=data, output=output)
        return types.SimpleNamespace(metrics={"val_accuracy": 0.5})

    monkeypatch.setitem(
        sys.modules, "kinetic", types.SimpleNamespace(run=run, Data=lambda *a, **k: a)
    )
    known = argument_names(training.pretrain) | argument_names(training.RunOptions)
    monkeypatch.setattr(training, "pretrain", pretrain)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(program, "docs/scaling.md", "exec"), {})
    assert "0.5" in capsys.readouterr().out
    assert asked.keys() == {"accelerator", "volumes"} and trained["data"] in asked["volumes"]
    assert trained.keys() <= known
    assert trained["recipe"].precision == "mixed_bfloat16"
