"""Every program of docs/howto.md runs as it stands, and does what its section says."""

import csv
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_backend

PAGE = (Path(__file__).parents[2] / "docs" / "howto.md").read_text("utf8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def _run(section, folder, monkeypatch):
    """Runs a section's program in an empty folder, and returns its names."""
    monkeypatch.chdir(folder)
    [code] = re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)
    assert len(code.splitlines()) <= 25
    names = {}
    exec(compile(code, f"docs/howto.md, {section}", "exec"), names)
    return names


def _validation(names):
    return {k: v[-1] for k, v in names["model"].history.history.items() if k.startswith("val_")}


def test_transfer(tmp_path, monkeypatch):
    names = _run("Fine-tune on a folder of photographs", tmp_path, monkeypatch)
    assert names["best"].class_names == ("day", "night")
    assert names["run"].metrics["best_val_accuracy"] > 0.9


def test_several_labels(tmp_path, monkeypatch):
    names = _run("Give an image several labels", tmp_path, monkeypatch)
    assert _validation(names)["val_binary_accuracy"] > 0.95


def test_numbers(tmp_path, monkeypatch):
    names = _run("Predict numbers instead of classes", tmp_path, monkeypatch)
    assert _validation(names)["val_mae"] < 0.4  # 0.87 if the mean is predicted


def test_class_weights(tmp_path, monkeypatch):
    names = _run("Weight rare classes", tmp_path, monkeypatch)
    assert len({round(names["weights"][k] * n, 6) for k, n in enumerate(names["counts"])}) == 1
    assert (names["predicted"][names["labels"] == 1] == 1).mean() > 0.9


def test_channels(tmp_path, monkeypatch):
    assert _validation(_run("Train on 13 channels", tmp_path, monkeypatch))["val_accuracy"] > 0.9


def test_csv(tmp_path, monkeypatch, capsys):
    _run("Write the predictions for a folder to a CSV file", tmp_path, monkeypatch)
    with open("predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50 and rows[0].keys() == {"file", "class_1", "name_1", "probability_1"}
    assert "0 files left out" in capsys.readouterr().out


def test_nearest_neighbours(tmp_path, monkeypatch):
    assert _run("Classify by nearest neighbours", tmp_path, monkeypatch)["accuracy"] > 0.9


def test_contents():
    links = re.findall(r"^- \[(.*?)\]\(#(.*?)\)$", PAGE, re.MULTILINE)
    assert [name for name, _ in links] == list(SECTIONS)
    for name, link in links:
        assert link == re.sub(r"[^a-z0-9 -]", "", name.lower()).replace(" ", "-")
