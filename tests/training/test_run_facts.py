"""What `keras-crate push` reads beside a run's model."""

import json

import pytest

import keras_crate
from keras_crate.training.run_facts import RunFacts, facts_of_run
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

RUN = {
    "run.json": {
        "model": "/home/somebody/first.keras", "weights": "given", "data": "the folder /home/pets",
        "dataset": "pets",
        "images": 90, "seed": 7, "backend": "torch", "machine": "x",
        "versions": {"python": "3.12", "keras": "3.9", "keras_crate": "0.1", "torch": "2.5"},
    },
    "recipe.json": {
        "dataset": "cifar10", "description": "Small", "epochs": 9, "batch_size": 128, "flip": False,
    },
    "metrics.json": {
        "epochs": 9, "val_accuracy": 0.8, "best_epoch": 6, "best_val_accuracy": 0.9,
        "test_of": "best.keras", "test_accuracy": 0.85, "test_images": 10,
    },
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    for name, content in RUN.items():
        (tmp_path / name).write_text(json.dumps(content))
    model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2)
    for name in ("best.keras", "model.keras", "other.keras"):
        model.save(tmp_path / name)
    return tmp_path


def test_the_facts_of_a_run(run):
    best, last = facts_of_run(run / "best.keras"), facts_of_run(run / "model.keras")
    assert best.dataset == last.dataset == "pets"
    assert best.metrics == {"validation_accuracy": 0.9, "test_accuracy": 0.85}
    assert last.metrics == {"validation_accuracy": 0.8}
    assert best.training == {
        "model": "first.keras", "weights": "given", "images": 90, "seed": 7, "backend": "torch",
        "versions": "keras 3.9, keras_crate 0.1, torch 2.5", "epochs": 6,
        "recipe": {"description": "Small", "epochs": 9, "flip": False},
    }  # fmt: skip
    assert last.training["epochs"] == 9
    assert facts_of_run(run / "other.keras") == RunFacts()
    record = {**RUN["run.json"], "dataset": "huggingface:ylecun/mnist"}
    (run / "run.json").write_text(json.dumps(record))
    assert facts_of_run(run / "best.keras").dataset == "ylecun/mnist"
    (run / "metrics.json").unlink()
    unfinished = facts_of_run(run / "model.keras")
    assert (unfinished.metrics, unfinished.training["epochs"]) == ({}, "not finished")
    (run / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json cannot be read"):
        facts_of_run(run / "model.keras")


def test_they_are_in_the_card(run, tmp_path, capsys):
    def card(*words):
        place = tmp_path / "repository"
        command = ["push", run / "best.keras", "hf://user/pets", "--force", "--dry-run", place]
        assert main([str(word) for word in (*command, *words)]) == 0, capsys.readouterr().err
        return (place / "README.md").read_text("utf8")

    text = card("--training", "seed=8", "--training", "crops=[2 large, 8 small]")
    for line in ("| pets | validation_accuracy | 0.9 |", "| pets | test_accuracy | 0.85 |",
                 "- seed: 8", "- crops: [2 large, 8 small]",
                 "- versions: keras 3.9, keras_crate 0.1, torch 2.5"):  # fmt: skip
        assert line in text
    assert '- recipe: {"description": "Small"' in text and "/home" not in text
    # The run's results are not of another data set.
    assert "validation_accuracy" not in card("--dataset", "other")
