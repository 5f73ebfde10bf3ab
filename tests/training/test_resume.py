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
from marks import TORCH, compiles_long

import keras_crate
from keras_crate.training import Recipe
from keras_crate.training.checkpoints import Backup
from keras_crate.training.history import RunHistory

SCRIPT = Path(__file__).with_name("small_run.py")


def _numbers(history: dict) -> dict:
    return {name: values for name, values in history.items() if name != "images_per_second"}


def _assert_same(run, reference):
    assert _numbers(run.history) == _numbers(reference.history)
    for a, b in zip(run.model.get_weights(), reference.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("file", "best") if reference.best else ("file",):
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
def test_stopped_and_resumed(reference, tmp_path, monkeypatch):
    """In the first epoch, in a later one, and after the last."""
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(0, 2)])
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(2, 1)])

    def interrupt(self, file):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunHistory, "draw", interrupt)
        small_run.run(tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    resumed = small_run.run(tmp_path)
    assert resumed.metrics["resumed_after"] == resumed.metrics["epochs"] == 3
    _assert_same(resumed, reference)
    assert not (tmp_path / "backup").exists()


@compiles_long
def test_running_statistics_are_resumed(tmp_path):
    def run(folder, callbacks=()):
        keras.utils.set_random_seed(3)
        shape = {"input_shape": (8, 8, 1), "patch_size": 4, "classes": 10}
        model = keras_crate.CBT(16, 1, 2, **shape, name="small")
        recipe = small_run.RECIPE.with_changes(epochs=2)
        return small_run.run_of(model, folder, recipe=recipe, callbacks=callbacks)

    reference = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", [stop_at(1, 1)])
    resumed = run(tmp_path / "cut")
    _assert_same(resumed, reference)
    assert np.any(resumed.model.get_layer("patch_embedding").norm_0.get_weights()[2] != 0)


@pytest.mark.any_backend
def test_adapters_of_lora_are_resumed(tmp_path):
    """They go on to be trained, and are not a part of the frozen weights."""

    def run(folder, callbacks=()):
        model = small_run.small_model()
        model.enable_lora(2)
        changes = {"epochs": 2, "drop_path_rate": None, "dropout_rate": None}
        recipe = small_run.RECIPE.with_changes(**changes)
        return small_run.run_of(model, folder, recipe=recipe, callbacks=callbacks)

    reference = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", [stop_at(1, 1)])
    resumed = run(tmp_path / "cut")
    for a, b in zip(resumed.model.weights, reference.model.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@compiles_long
def test_threads_and_unnamed_models(reference, tmp_path):
    """The number of threads changes nothing; Keras numbers models that have no name."""
    options = {"name": None, "workers": 3, "pipeline": "pydataset"}
    if json.loads((reference.folder / "run.json").read_text())["pipeline"] != "pydataset":
        reference = small_run.run(tmp_path / "whole", pipeline="pydataset")
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path / "cut", [stop_at(2, 1)], **options)
    _assert_same(small_run.run(tmp_path / "cut", **options), reference)


TWO_PHASES = small_run.RECIPE.with_changes(epochs=4, head_epochs=2, head_learning_rate=1e-2)


def _two_phases(output, *callbacks):
    return small_run.run(output, callbacks, recipe=TWO_PHASES)


@compiles_long
def test_two_phases_stopped_and_resumed(tmp_path, monkeypatch):
    """In the head's epochs, between the phases, and in each epoch of the second phase."""
    reference = _two_phases(tmp_path / "whole")
    cut = tmp_path / "cut"
    for epoch in (0, 1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            _two_phases(cut, stop_at(epoch, 1))
    _assert_same(_two_phases(cut), reference)

    between = tmp_path / "between"
    write = Backup._write

    def write_first(self, epochs):
        if self.running == 1:
            raise KeyboardInterrupt
        write(self, epochs)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Backup, "_write", write_first)
        _two_phases(between)
    _assert_same(_two_phases(between), reference)


def _process(*arguments, kind="labelled"):
    return subprocess.Popen(
        [sys.executable, SCRIPT, kind, *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )


WRITES = (".unfinished-*/model.keras", "backup/.unfinished-*/*.h5")


@pytest.mark.parametrize(
    "writes", [WRITES] if TORCH else [(), pytest.param(WRITES, marks=pytest.mark.slow)]
)
def test_killed(reference, tmp_path, writes):
    """At a step, and as soon as the file is seen that becomes a checkpoint of the second epoch."""
    killed = _process(tmp_path, 1, 2)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    for unfinished in writes:
        running = _process(tmp_path)
        while not any(tmp_path.glob(unfinished)) and running.poll() is None:
            time.sleep(0.002)
        running.kill()
        running.communicate()
        assert running.returncode == -signal.SIGKILL
        assert any(tmp_path.glob(unfinished))  # it was in the middle of it
    keras.saving.load_model(tmp_path / "model.keras")  # whole
    assert not (tmp_path / "metrics.json").exists()
    resumed = small_run.run(tmp_path)
    assert resumed.metrics["resumed_after"] == 1
    _assert_same(resumed, reference)
    assert not list(tmp_path.rglob(".unfinished*"))


@compiles_long
def test_simdino_killed_and_resumed(tmp_path):
    """The teacher and its momentum go on where they were."""
    reference = small_run.run_unlabelled(tmp_path / "reference")
    assert keras.ops.convert_to_numpy(reference.model.steps).tolist() == [12, 12]
    killed = _process(tmp_path / "cut", 1, 2, kind="unlabelled")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    resumed = small_run.run_unlabelled(tmp_path / "cut")
    assert resumed.metrics["resumed_after"] == 1
    _assert_same(resumed, reference)
    assert (tmp_path / "cut/history.csv").read_text().startswith("epoch,coding_rate,compression")


@compiles_long
def test_another_run_is_not_mixed_in(reference, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path, [stop_at(0, 1)])
    other = small_run.RECIPE.with_changes(learning_rate=1e-3)
    with pytest.raises(ValueError, match=r"Another run was begun in .*: learning_rate was 0.002"):
        small_run.run(tmp_path, recipe=other)
    with pytest.raises(ValueError, match="seed was 3"):
        small_run.run(tmp_path, seed=4)
    with pytest.raises(ValueError, match=r"is finished. Choose another `output`"):
        small_run.run(reference.folder)


def test_the_folder_tells_all(reference):
    folder = reference.folder
    assert {path.name for path in folder.iterdir()} == {
        "recipe.json", "run.json", "history.csv", "history.png", "model.keras", "best.keras",
        "metrics.json",
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
    """Accuracy on the validation digits, which have the model's size."""
    from keras_crate import data

    digits = data.load("digits").validation
    return float((model.predict(digits.images, verbose=0).argmax(axis=1) == digits.labels).mean())


@compiles_long
def test_a_full_disk(reference, tmp_path):
    """The system refuses to write files of more than 20 kB, as it does when a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))

    message = r"could not be written \(File too large\).*Start the same command to resume the run"
    try:
        with pytest.raises(OSError, match=message):
            small_run.run(tmp_path, [small_run.AtStep(1, 0, fill)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    keras.saving.load_model(tmp_path / "model.keras")  # the first epoch's, whole
    _assert_same(small_run.run(tmp_path), reference)


def test_a_disk_that_is_full_from_the_beginning(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(keras.Model, "save_weights", full)
    steps = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *a: steps.append(a))
    with pytest.raises(
        OSError, match=r"weights.h5 could not be written \(No space left on device\)"
    ):
        small_run.run(tmp_path, [watch])
    assert not steps  # before the first step
    assert not list((tmp_path / "backup").glob("*"))


def test_an_output_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file cannot be written to"):
        small_run.run(tmp_path / "file")
