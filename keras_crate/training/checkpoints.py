"""Callbacks that write models and a backup after each epoch."""

import contextlib
import functools
import shutil
from pathlib import Path

import keras

from keras_crate.distributed.devices import Devices
from keras_crate.files import sha256_of, write_json, written_whole
from keras_crate.layers.dense import adapters_apart
from keras_crate.models.saving import save_model, saved_size
from keras_crate.reading import read_json
from keras_crate.training.history import RunHistory
from keras_crate.training.run_folder import RunFolder


class Checkpoints(keras.callbacks.Callback):
    """Saves the model after every epoch, and a copy if the epoch is the best so far.

    If the run has moving averages of the weights, the files hold the averages.
    `averages` exchanges them with the weights.
    """

    def __init__(self, folder: RunFolder, history: RunHistory, devices: Devices, averages=None):
        super().__init__()
        self.folder, self.history, self.devices = folder, history, devices
        self.averages = averages

    def on_epoch_end(self, epoch, logs=None):
        if self.averages:
            self.averages.on_test_begin()  # the model gets the averages, as for an evaluation
        with _explained():
            write = functools.partial(save_model, self.model)
            self.devices.save(self.model, write, self.folder.model)
        if self.averages:
            self.averages.on_test_end()
        best = self.history.best()
        if best and best["epoch"] == epoch and self.devices.is_writer:
            with _explained(), written_whole(self.folder.best) as unfinished:
                shutil.copyfile(self.folder.model, unfinished)


class Backup(keras.callbacks.Callback):
    """Saves the weights and the optimizer's state after each epoch, for resuming a run.

    In contrast to `keras.callbacks.BackupAndRestore`, an incomplete backup is
    never used: a manifest with the file's hash is written after the file, and
    the previous backup is removed last. The first backup is written before
    the first step, so that a full disk is found then. Each phase begins with a
    backup, since it has an optimizer of its own.
    """

    def __init__(self, folder: Path, devices: Devices):
        super().__init__()
        self.folder, self.manifest, self.devices = folder, folder / "manifest.json", devices
        self.epochs = self.phase = 0  # of the backup
        self.running = 0  # index of the phase that is trained
        self.resumes = self.manifest.exists()
        if self.resumes:
            manifest = read_json(self.manifest, has={"epochs": int, "phase": int, "sha256": str})
            self.epochs, self.phase = manifest["epochs"], manifest["phase"]
            file = self._file(self.phase, self.epochs)
            if not file.exists() or sha256_of(file) != manifest["sha256"]:
                raise ValueError(
                    f"The backup in {folder} is incomplete: {file.name} is missing or was "
                    "changed.\nPut it back, choose another `output`, or remove the run's folder "
                    "to begin again."
                )

    def on_train_begin(self, logs=None):
        if self.resumes and self.phase == self.running:
            self.restore()
        else:
            self._write(self.epochs)

    def on_epoch_end(self, epoch, logs=None):
        self._write(epoch + 1)

    def restore(self) -> None:
        """Loads the backup into the model and its optimizer."""
        self.model.load_weights(self._file(self.phase, self.epochs))

    def remove(self) -> None:
        """Removes the backup, and the folder if nothing else is in it."""
        self.manifest.unlink()
        self._remove_files()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _write(self, epochs: int) -> None:
        file = self._file(self.running, epochs)
        with _explained():
            self.devices.save(self.model, self._write_weights, file)
            if self.devices.is_writer:
                manifest = {"phase": self.running, "epochs": epochs, "sha256": sha256_of(file)}
                write_json(self.manifest, manifest)
                self._remove_files(besides=file)
        self.phase, self.epochs = self.running, epochs

    def _write_weights(self, file: Path) -> None:
        size = saved_size(self.model)
        with written_whole(file, size=size) as unfinished, adapters_apart():
            self.model.save_weights(unfinished)

    def _file(self, phase: int, epochs: int) -> Path:
        return self.folder / f"phase-{phase}-epoch-{epochs:05d}.weights.h5"

    def _remove_files(self, besides: Path | None = None) -> None:
        for file in self.folder.glob("phase-?-epoch-?????.weights.h5"):
            if file != besides:
                file.unlink()


@contextlib.contextmanager
def _explained():
    """Adds to an error of writing what to do."""
    try:
        yield
    except OSError as error:
        raise type(error)(f"{error} Start the same command to resume the run.") from error
