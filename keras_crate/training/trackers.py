"""Records elsewhere: TensorBoard and Weights & Biases."""

import json
import uuid
from pathlib import Path

import keras

from keras_crate.extras import needed


def tensorboard(folder: Path) -> keras.callbacks.Callback:
    """Keras' TensorBoard callback.

    Args:
        folder: Where its event files go.

    Raises:
        ImportError: If TensorBoard or TensorFlow, by which Keras writes its
            files, is not installed.
    """
    with needed("tensorboard", "TensorBoard's records need"):
        import tensorboard  # noqa: F401
    with needed("tensorflow", "Keras writes TensorBoard's records by TensorFlow: they need"):
        import tensorflow  # noqa: F401
    return keras.callbacks.TensorBoard(str(folder))


class WandbRecord(keras.callbacks.Callback):
    """Sends each epoch's logs to Weights & Biases, whose own callback is of TensorFlow alone.

    A run that is resumed goes on in the same record.

    Args:
        project: Name of the project.
        folder: The run's folder; its files and the record's identifier are kept there.
        config: What the record shows as settings.

    Raises:
        ImportError: If `wandb` is not installed.
    """

    def __init__(self, project: str, folder: Path, config: dict):
        super().__init__()
        with needed("wandb", "Weights & Biases needs"):
            import wandb
        self.wandb, self.project, self.folder, self.config = wandb, project, folder, config
        self.run = None

    def on_train_begin(self, logs=None):
        note = self.folder / "wandb.json"
        known = json.loads(note.read_text("utf8"))["id"] if note.exists() else None
        identifier = known or uuid.uuid4().hex[:8]
        note.write_text(json.dumps({"id": identifier}) + "\n", "utf8")
        self.run = self.wandb.init(
            project=self.project,
            dir=str(self.folder),
            config=self.config,
            id=identifier,
            resume="allow",
        )

    def on_epoch_end(self, epoch, logs=None):
        self.run.log({**(logs or {}), "epoch": epoch + 1}, step=epoch + 1)

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Ends the record; also after an error."""
        if self.run is not None:
            self.run.finish()
            self.run = None
