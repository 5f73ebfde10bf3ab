"""What a run keeps on the disk: its last and its best model, and from where it resumes."""

import os
import shutil
from pathlib import Path

import keras

from keras_crate.training.run_folder import RunFolder


class Checkpoints(keras.callbacks.Callback):
    """Saves the model after every epoch, and once more where it is the best so far.

    Both files are written beside themselves and then renamed: whenever the
    process ends, each holds a whole model.

    Args:
        folder: Where to.
        monitor: Metric of the epoch that tells which is the best, or None to
            keep the last alone.
        higher: Whether more of it is better.
        moving_average: Whether the optimizer's moving average of the weights is
            what is saved.
    """

    def __init__(
        self, folder: RunFolder, monitor: str | None, higher: bool, moving_average: bool = False
    ):
        super().__init__()
        self.folder, self.monitor, self.higher = folder, monitor, higher
        self.swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True) if moving_average else None
        self.best: float | None = None

    def set_model(self, model):
        super().set_model(model)
        if self.swap:
            self.swap.set_model(model)

    def set_params(self, params):
        super().set_params(params)
        if self.swap:
            self.swap.set_params(params)

    def on_train_begin(self, logs=None):
        # Of a run that is resumed, the best so far.
        values = [row[self.monitor] for row in self.folder.rows() if self.monitor in row]
        self.best = (max if self.higher else min)(values) if values else None

    def on_epoch_end(self, epoch, logs=None):
        if self.swap:
            self.swap.on_epoch_end(epoch)
        save_whole(self.model, self.folder.model)
        value = (logs or {}).get(self.monitor)
        if value is not None and self._is_best(float(value)):
            self.best = float(value)
            partial = self.folder.best.with_name(".partial-best.keras")
            with _told(self.folder.best, partial):
                shutil.copyfile(self.folder.model, partial)
                os.replace(partial, self.folder.best)
        if self.swap:  # what is trained on are the weights themselves
            self.swap.on_epoch_begin(epoch)

    def _is_best(self, value: float) -> bool:
        if self.best is None:
            return True
        return value > self.best if self.higher else value < self.best


class Backup(keras.callbacks.Callback):
    """Keeps weights and optimizer as they are between two epochs, for a run to go on from.

    It is `keras.callbacks.BackupAndRestore`, but each epoch is written to a
    folder of its own, which gets its name when it is whole; the one before it
    is removed then. Keras' own writes weights and epoch one after the other,
    and a process that ends between the two resumes with an epoch too many.

    The first is written before the first step: a disk that is full is found
    then.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = Path(folder)

    def newest(self) -> int | None:
        """How many epochs the newest backup has behind it, or None if there is none."""
        return max(self._whole(), default=None)

    def on_train_begin(self, logs=None):
        newest = self.newest()
        if newest is None:
            self._write(0)
        else:
            self.restore()

    def on_epoch_end(self, epoch, logs=None):
        self._write(epoch + 1)

    def restore(self) -> None:
        """Gives the model the weights of the newest backup, and `fit` its first epoch."""
        self._keras(self._of(self.newest())).on_train_begin()

    def remove(self) -> None:
        """Removes all of it, once the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write(self, epochs: int) -> None:
        partial = self.folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        with _told(self.folder, partial):
            partial.mkdir(parents=True)
            self._keras(partial).on_epoch_end(epochs - 1)
            shutil.rmtree(self._of(epochs), ignore_errors=True)
            os.replace(partial, self._of(epochs))
        for other in self._whole():
            if other != epochs:
                shutil.rmtree(self._of(other), ignore_errors=True)

    def _keras(self, folder: Path):
        callback = keras.callbacks.BackupAndRestore(str(folder), delete_checkpoint=False)
        callback.set_model(self.model)
        return callback

    def _of(self, epochs: int) -> Path:
        return self.folder / f"epoch-{epochs:05d}"

    def _whole(self) -> list[int]:
        found = self.folder.glob("epoch-*") if self.folder.is_dir() else ()
        return [int(path.name.removeprefix("epoch-")) for path in found]


def save_whole(model: keras.Model, path: Path) -> None:
    """Saves a model to a file that is whole whenever it is there.

    Raises:
        OSError: If it cannot be written; what was there before stays.
    """
    partial = path.with_name(f".partial-{path.name}")
    with _told(path, partial):
        model.save(partial)
        os.replace(partial, path)


class _told:
    """Around writing: an error leaves nothing half written and says what to do."""

    def __init__(self, path: Path, partial: Path):
        self.path, self.partial = path, partial

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            return
        if self.partial.is_dir():
            shutil.rmtree(self.partial, ignore_errors=True)
        else:
            self.partial.unlink(missing_ok=True)
        if isinstance(error, (OSError, RuntimeError)):  # h5py raises either
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise OSError(
                f"{self.path} could not be written ({reason}). What was saved before is whole. "
                "Make room or mend the disk, and start the same command to go on from there."
            ) from error
