"""Records of a run for TensorBoard and Weights & Biases."""

import uuid
from pathlib import Path

import keras

from keras_crate.extras import needed
from keras_crate.files import write_json
from keras_crate.reading import read_json
from keras_crate.training.run_folder import RunFolder


def tensorboard(folder: Path) -> keras.callbacks.Callback:
    """Keras' TensorBoard callback, which needs TensorFlow to write its files."""
    with needed("tensorboard", "TensorBoard's records need"):
        import tensorboard  # noqa: F401
    with needed("tensorflow", "Keras writes TensorBoard's records with TensorFlow: they need"):
        import tensorflow  # noqa: F401
    return keras.callbacks.TensorBoard(str(folder))


class WandbRecord(keras.callbacks.Callback):
    """Sends each epoch's values to Weights & Biases, whose own callback needs TensorFlow.

    A run that is resumed continues its record, whose identifier is kept in the
    run's folder.
    """

    def __init__(self, project: str, folder: RunFolder):
        super().__init__()
        with needed("wandb", "Weights & Biases needs"):
            import wandb
        self.wandb, self.project, self.folder = wandb, project, folder
        self.run = None

    def on_train_begin(self, logs=None):
        note = self.folder.path / "wandb.json"
        if not note.exists():
            write_json(note, {"id": uuid.uuid4().hex[:8]})
        of_run = {"id": read_json(note, has={"id": str})["id"], "resume": "allow"}
        about = {"dir": str(self.folder.path), "config": self.folder.settings()}
        try:
            self.run = self.wandb.init(project=self.project, **about, **of_run)
        except Exception as error:  # of many kinds: no key, a name, the network
            raise ValueError(
                f"Weights & Biases does not begin a record of {self.project!r}: {error} Log in by "
                "`wandb login`, or leave `wandb` out."
            ) from error

    def on_epoch_end(self, epoch, logs=None):
        self.run.log({**logs, "epoch": epoch + 1}, step=epoch + 1)

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Ends the record. Also called after an error."""
        if self.run is not None:
            self.run.finish()
            self.run = None
