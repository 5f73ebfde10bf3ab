import csv
import sys

import keras
import pytest
import small_run
from marks import compiles_long, needs
from rich.console import Console

from keras_crate.training.progress import RichProgress

SHORT = small_run.RECIPE.with_changes(epochs=2, ema=None)


@pytest.mark.any_backend
def test_the_bar_and_its_lines(tmp_path, capsys):
    small_run.run(tmp_path, recipe=SHORT, verbose=1)
    out = capsys.readouterr().out
    assert "96 training images of 10 classes, 360 for validation, 0 for test" in out
    assert "epoch 1/2: " in out and "epoch 2/2: " in out
    assert "validation accuracy" in out and "images per second" in out


@pytest.mark.any_backend
def test_the_bar_shows_steps_and_the_time_left():
    console = Console(record=True, force_terminal=True, width=100)
    bar = RichProgress(4, 2, console)
    bar.on_train_begin()
    bar.on_epoch_begin(1)
    bar.on_train_batch_end(0)
    bar.bar.refresh()
    bar.close()
    text = console.export_text()
    assert "epoch 2/2" in text and "1/4" in text and "-:--:--" in text


@pytest.mark.any_backend
def test_a_pipe_gets_one_line_an_epoch(capsys):
    bar = RichProgress(2, 2)
    bar.on_train_begin()
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        bar.on_train_batch_end(0)
        bar.on_epoch_end(epoch, {"val_loss": 0.5})
    bar.close()
    lines = [f"epoch {epoch}/2: validation loss 0.5" for epoch in (1, 2)]
    assert capsys.readouterr().out == "\n".join(lines) + "\n"


@pytest.mark.any_backend
def test_the_history_has_every_epoch_and_its_speed(tmp_path):
    run = small_run.run(tmp_path, recipe=SHORT)
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["images_per_second"]) > 0 for row in rows)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(rows[0])
    assert run.history["loss"] == [float(row["loss"]) for row in rows]


@needs("tensorboard", "tensorflow")
def test_tensorboard(tmp_path):
    """Keras' callback writes by TensorFlow."""
    small_run.run(tmp_path, recipe=SHORT, tensorboard=True)
    assert list((tmp_path / "tensorboard").rglob("events*"))


def test_tensorboard_without_its_packages(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="TensorBoard's records need tensorboard"):
        small_run.run(tmp_path, recipe=SHORT, tensorboard=True)


class FakeRun:
    def __init__(self, **options):
        self.options, self.logged, self.finished = options, [], False

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


class FakeWandb:
    """What the callback calls of the package; the real one is tried where it is installed."""

    def __init__(self):
        self.runs = []

    def init(self, **options):
        self.runs.append(FakeRun(**options))
        return self.runs[-1]


@compiles_long
def test_weights_and_biases(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [Stop()], recipe=SHORT, wandb="crate")
    small_run.run(tmp_path, recipe=SHORT, wandb="crate")
    first, second = fake.runs
    assert first.finished and second.finished  # also where the training ended badly
    assert first.options["id"] == second.options["id"] and second.options["resume"] == "allow"
    assert first.options["project"] == "crate"
    assert first.options["config"]["learning_rate"] == SHORT.learning_rate
    assert [step for step, _ in first.logged + second.logged] == [1, 2]
    assert "val_accuracy" in second.logged[0][1]


@compiles_long
@needs("wandb")
def test_weights_and_biases_itself_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    small_run.run(tmp_path, recipe=SHORT, wandb="crate")
    assert list((tmp_path / "wandb").rglob("*.wandb"))


def test_without_weights_and_biases(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"Weights & Biases needs wandb.*pip install wandb"):
        small_run.run(tmp_path, recipe=SHORT, wandb="crate")
