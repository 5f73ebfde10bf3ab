"""What a run writes to, and what it leaves alone."""

import dataclasses
import json
import os
import platform
import signal
import time

import keras
import numpy as np
import pytest
import small_run
from marks import compiles_long

from keras_crate import data
from keras_crate.training import Recipe, finetune, pretrain
from keras_crate.training.history import RunHistory
from keras_crate.training.run_folder import RunFolder

SHORT = small_run.RECIPE.with_changes(epochs=2)


def _content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _stop():
    raise KeyboardInterrupt


def _cut_off(folder, recipe=SHORT):
    """Begins a run, and interrupts it in its second epoch."""
    with pytest.raises(KeyboardInterrupt):
        small_run.run(folder, [small_run.AtStep(1, 1, _stop)], recipe=recipe)


@pytest.mark.parametrize(
    "name", ["model.keras", "backup/photographs/cat.jpg", "recipe.json", "metrics.json"]
)
def test_a_folder_with_other_files_is_left_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = _content(tmp_path)
    with pytest.raises(ValueError, match=r"must be a new or empty folder.*and no run.json"):
        finetune(small_run.small_model(), "digits", tmp_path, recipe=SHORT, limit=48)
    assert _content(tmp_path) == before


@compiles_long
def test_only_what_the_run_made_is_removed(tmp_path):
    def add():
        (tmp_path / "backup/notes.txt").write_text("mine")
        (tmp_path / "mine.txt").write_text("mine")

    once = SHORT.with_changes(epochs=1)
    small_run.run(tmp_path, [small_run.AtStep(0, 1, add)], recipe=once)
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["notes.txt"]
    assert (tmp_path / "mine.txt").read_text() == "mine"


@compiles_long
def test_an_incomplete_backup_is_refused(tmp_path):
    _cut_off(tmp_path)
    [weights] = (tmp_path / "backup").glob("*.h5")
    manifest = tmp_path / "backup/manifest.json"
    for broken, content, message in (
        (weights, None, "phase-0-epoch-00001.weights.h5 is missing or was changed"),
        (weights, b"x", "phase-0-epoch-00001.weights.h5 is missing or was changed"),
        (manifest, None, "has no backup to resume from"),
    ):
        whole = broken.read_bytes()
        broken.unlink()
        if content is not None:
            broken.write_bytes(whole[:-1] + content)
        before = _content(tmp_path)
        with pytest.raises(ValueError, match=message):
            small_run.run(tmp_path, recipe=SHORT)
        assert _content(tmp_path) == before
        broken.write_bytes(whole)
    assert small_run.run(tmp_path, recipe=SHORT).metrics["resumed_after"] == 1


@compiles_long
def test_a_second_run_in_the_folder_is_refused(tmp_path):
    refused = []

    def start_another():
        with pytest.raises(ValueError, match=f"Another run is writing to {tmp_path}"):
            small_run.run(tmp_path, recipe=SHORT)
        refused.append(True)

    run = small_run.run(tmp_path, [small_run.AtStep(1, 0, start_another)], recipe=SHORT)
    assert refused and len((tmp_path / "history.csv").read_text().splitlines()) == 3
    assert len(run.history["loss"]) == 2 and not (tmp_path / ".run.lock").exists()


def test_unfinished_files_of_a_killed_process_are_removed(tmp_path):
    for folder in (tmp_path, tmp_path / "backup"):
        (folder / ".unfinished-1").mkdir(parents=True)
        (folder / ".unfinished-1/model.keras").write_text("half")
    (tmp_path / "run.json").write_text("{}")
    with RunFolder(tmp_path).reserved():
        assert not list(tmp_path.rglob(".unfinished*"))


def test_rows_after_the_backup_are_dropped(tmp_path):
    file = tmp_path / "history.csv"
    file.write_text("epoch,loss,val_accuracy\n0,0.5,0.25\n1,0.25,\n2,0.1,0.")
    history = RunHistory(file, 2)
    history.on_epoch_end(2, {"loss": 0.125, "val_accuracy": 0.75, "more": 1.0})
    assert [row["loss"] for row in history.rows] == [0.5, 0.25, 0.125]
    assert history.best()["epoch"] == 2
    assert RunHistory(file, 3).rows == history.rows
    assert RunHistory(file, 0).rows == []


@compiles_long
def test_averages_are_evaluated_and_saved_and_weights_are_backed_up(tmp_path):
    _cut_off(tmp_path)  # after one epoch
    saved = keras.saving.load_model(tmp_path / "model.keras")
    [row] = RunHistory(tmp_path / "history.csv", 1).rows
    digits = data.load("digits").validation
    found = saved.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels
    assert float(found.mean()) == pytest.approx(row["val_accuracy"])
    resumed = keras.saving.load_model(tmp_path / "model.keras")
    resumed.load_weights(next((tmp_path / "backup").glob("*.h5")))
    differences = [
        np.abs(a - b).max() for a, b in zip(saved.get_weights(), resumed.get_weights(), strict=True)
    ]
    assert max(differences) > 1e-3
    averages = keras.callbacks.SwapEMAWeights()
    averages.set_model(resumed)
    averages.on_test_begin()
    for a, b in zip(saved.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@compiles_long
def test_test_images_are_looked_at_once_with_the_best_model(tmp_path, monkeypatch):
    """The model knows the validation images, until the second epoch spoils its head."""
    # Each image is read by itself, and counted.
    monkeypatch.setattr("keras_crate.data.batches._array_of", lambda *arguments: None)
    model, seen = small_run.small_model(), []
    head = model.get_layer("head")
    before = head.get_weights()
    digits, test = data.load("digits"), data.load("digits").validation
    count, read = len(test), test.labelled
    digits.validation.labels = model.predict(test.images, verbose=0).argmax(axis=1)
    test.labels = (digits.validation.labels + (np.arange(count) < count // 4)) % 10
    test.labelled = lambda k, mode: (seen.append(k), read(k, mode))[1]

    def spoil(epoch, logs=None):
        if epoch == 1:
            head.set_weights([-values for values in before])

    # The model's own rates, so that it is trained itself and not a copy.
    rates = {"drop_path_rate": None, "dropout_rate": None, "learning_rate": 1e-12}
    options = {"recipe": SHORT.with_changes(ema=None, **rates), "limit": 96, "verbose": 0}
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=spoil)]
    tested = dataclasses.replace(digits, test=test)
    run = pretrain(model, tested, tmp_path, **options, pipeline="pydataset", callbacks=callbacks)
    assert sorted(seen) == [*range(count)]
    assert run.history["val_accuracy"] == [1, 0]
    assert run.metrics["test_accuracy"] == pytest.approx(0.75)
    assert (run.metrics["test_of"], run.metrics["test_images"]) == ("best.keras", count)
    np.testing.assert_allclose(head.get_weights()[0], -before[0], atol=1e-6)  # of the last epoch
    settings = json.loads((tmp_path / "run.json").read_text())
    counts = [settings[name] for name in ("images", "validation_images", "test_images")]
    assert counts == [96, 360, 360]


@compiles_long
def test_without_validation_images_the_last_model_is_tested(tmp_path):
    digits = data.load("digits")
    digits = dataclasses.replace(digits, validation=None, test=digits.validation)
    once = SHORT.with_changes(epochs=1)  # of the averages, as the file holds them
    run = pretrain(small_run.small_model(), digits, tmp_path, recipe=once, limit=96, verbose=0)
    found = keras.saving.load_model(run.file).predict(digits.test.images, verbose=0)
    accuracy = float((found.argmax(axis=1) == digits.test.labels).mean())
    assert run.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert run.metrics["test_of"] == "model.keras" and run.best is None


def test_settings_are_compared_as_the_file_has_them(tmp_path):
    recipe = Recipe(simdino={"local_area": (0.2, 0.5)})  # JSON has lists
    folder = RunFolder(tmp_path)
    for _ in range(2):
        folder.begin(recipe, {"input": (8, 8)})
    assert not folder.changed(recipe, {"input": (8, 8)})
    assert folder.changed(recipe, {"input": (9, 8)}) == "input was [8, 8]"


@pytest.mark.any_backend
def test_the_lock_names_its_owner_and_goes_with_it(tmp_path):
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with RunFolder(tmp_path).reserved():
            os.write(told, b"1")
            time.sleep(60)
    os.read(ready, 1)
    message = f"Another run is writing to .* It is process {child} on {platform.node()}"
    with pytest.raises(ValueError, match=message), RunFolder(tmp_path).reserved():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(KeyError), RunFolder(tmp_path).reserved():
        raise KeyError
    assert not list(tmp_path.iterdir())  # nor after a run that failed
