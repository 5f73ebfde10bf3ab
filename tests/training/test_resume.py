"""A run that was cut off goes on and comes to the numbers of one that was not.

Where TensorFlow is, batches come from tf.data, elsewhere from PyDataset.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import small_run
from marks import compiles_long

from keras_crate.training import Recipe

SCRIPT = Path(__file__).with_name("small_run.py")


def _numbers(history: dict) -> dict:
    return {name: values for name, values in history.items() if name != "images_per_second"}


def _assert_same(run, reference):
    assert _numbers(run.history) == _numbers(reference.history)
    for a, b in zip(run.model.get_weights(), reference.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("file", "best"):
        ours, theirs = (
            keras.saving.load_model(getattr(r, name), compile=False) for r in (run, reference)
        )
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A run that nothing disturbs."""
    return small_run.run(tmp_path_factory.mktemp("reference"))


def stop_at(epoch, step):
    """A callback that raises at a step, as Ctrl-C does."""

    def interrupt():
        raise KeyboardInterrupt

    return small_run.AtStep(epoch, step, interrupt)


@compiles_long
@pytest.mark.parametrize("when", [(0, 2), (2, 3)])
def test_stopped_and_resumed(reference, tmp_path, when):
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(*when)])
    assert not (tmp_path / "metrics.json").exists()
    resumed = small_run.run(tmp_path)
    assert resumed.metrics["resumed_after"] == when[0]
    assert len(resumed.history["loss"]) == 4
    _assert_same(resumed, reference)
    assert not (tmp_path / "backup").exists()


@compiles_long
def test_threads_and_unnamed_models(tmp_path):
    """Keras numbers models that have no name: in a notebook the second is another."""
    import keras_crate
    from keras_crate.training import pretrain

    def run(output, callbacks=()):
        keras.utils.set_random_seed(1)
        model = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=10)
        options = {"limit": 96, "verbose": 0, "workers": 3, "pipeline": "pydataset"}
        return pretrain(
            model, "digits", output, recipe=small_run.RECIPE, callbacks=callbacks, **options
        )

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", [stop_at(2, 1)])
    _assert_same(run(tmp_path / "cut"), whole)


@compiles_long
def test_stopped_after_the_last_epoch(reference, tmp_path, monkeypatch):
    from keras_crate.training.history import RunHistory

    def cut_off(self, file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunHistory, "draw", cut_off)
        small_run.run(tmp_path)
    resumed = small_run.run(tmp_path)
    assert resumed.metrics["resumed_after"] == 4
    _assert_same(resumed, reference)


def _process(*arguments):
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


def test_killed_at_a_step(reference, tmp_path):
    killed = _process(tmp_path, 1, 2)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "backup").exists() and not (tmp_path / "metrics.json").exists()
    keras.saving.load_model(tmp_path / "model.keras")  # of epoch 1, whole
    _assert_same(small_run.run(tmp_path), reference)


@compiles_long
@pytest.mark.parametrize("partial", [".unfinished-*/model.keras", "backup/.unfinished-*/*.h5"])
def test_killed_while_it_writes(reference, tmp_path, partial):
    """Killed as soon as the file is seen that becomes a checkpoint of the second epoch."""
    running = _process(tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    while not any(tmp_path.glob(partial)) and running.poll() is None:
        time.sleep(0.0005)
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert any(tmp_path.glob(partial))  # it was in the middle of it
    if (tmp_path / "model.keras").exists():
        keras.saving.load_model(tmp_path / "model.keras")
    resumed = small_run.run(tmp_path)
    assert resumed.metrics["resumed_after"] < 4
    _assert_same(resumed, reference)
    assert not list(tmp_path.rglob(".unfinished*"))


@compiles_long
def test_torn_lines_of_the_history_are_trained_again(reference, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(2, 1)])
    with (tmp_path / "history.csv").open("a") as file:
        file.write("2,0.1,0.")
    _assert_same(small_run.run(tmp_path), reference)


@compiles_long
def test_another_run_is_not_mixed_in(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(0, 1)])
    other = small_run.RECIPE.with_changes(learning_rate=1e-3)
    with pytest.raises(ValueError, match=r"Another run was begun in .*: learning_rate was 0.002"):
        small_run.run(tmp_path, recipe=other)
    with pytest.raises(ValueError, match="seed was 3"):
        small_run.run(tmp_path, seed=4)
    small_run.run(tmp_path, recipe=small_run.RECIPE)
    with pytest.raises(ValueError, match=r"is finished. Choose another `output`"):
        small_run.run(tmp_path)


def test_the_folder_tells_all(reference):
    folder = reference.folder
    assert {path.name for path in folder.iterdir()} == {
        "recipe.json", "run.json", "history.csv", "history.png", "model.keras", "best.keras",
        "evaluation.json", "metrics.json",
    }  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    assert record["seed"] == 3 and record["backend"] == keras.backend.backend()
    assert record["versions"]["keras"] == keras.__version__
    assert Recipe(**json.loads((folder / "recipe.json").read_text())) == small_run.RECIPE
    assert (folder / "history.png").read_bytes()[:4] == b"\x89PNG"
    best = reference.metrics["best_epoch"] - 1
    assert reference.history["val_accuracy"][best] == reference.metrics["best_val_accuracy"]
    model = keras.saving.load_model(reference.best)
    digits = _digits_accuracy(model)
    assert digits == pytest.approx(reference.metrics["best_val_accuracy"])


def _digits_accuracy(model) -> float:
    """Accuracy on the held-out digits, which have the model's size."""
    from keras_crate import data

    images, labels = data.load("digits").test
    return float((model.predict(images, verbose=0).argmax(axis=1) == labels).mean())


FILE_LIMIT = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.path.insert(0, {folder!r})
import small_run, keras
class Full(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
small_run.run({output!r}, [Full()] if {full} else [])
"""


@compiles_long
def test_a_full_disk(reference, tmp_path):
    """The system refuses to write files of more than 20 kB, as it does when a disk is full."""
    script = FILE_LIMIT.format(folder=str(SCRIPT.parent), output=str(tmp_path), full=True)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "could not be written (File too large)" in done.stderr, done.stderr[-2000:]
    assert "start the same command to resume the run" in done.stderr
    keras.saving.load_model(tmp_path / "model.keras")  # the first epoch's, whole
    _assert_same(small_run.run(tmp_path), reference)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_disk_that_is_full_from_the_beginning(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(keras.Model, "save_weights", full)
    steps = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *a: steps.append(a))
    with pytest.raises(OSError, match=r"backup could not be written \(No space left on device\)"):
        small_run.run(tmp_path, [watch])
    assert not steps  # before the first step
    assert not list((tmp_path / "backup").glob("*"))


def test_an_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file cannot be written to"):
        small_run.run(tmp_path / "file")
