"""How a run goes: a bar with the time that is left, a line an epoch, images a second."""

import time

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Throughput(keras.callbacks.Callback):
    """Adds `images_per_second` of the training steps and `learning_rate` to an epoch's logs.

    Stands before what writes them.

    Args:
        images: Images of an epoch.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.start, self.testing = time.monotonic(), 0.0

    def on_test_begin(self, logs=None):
        self.test_start = time.monotonic()

    def on_test_end(self, logs=None):
        self.testing += time.monotonic() - self.test_start

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.monotonic() - self.start - self.testing
        logs["images_per_second"] = self.images / max(seconds, 1e-9)
        rate = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))


class RichProgress(keras.callbacks.Callback):
    """A bar over all epochs with the time that is left, and a line for each epoch.

    Args:
        steps: Batches of an epoch.
        console: Where to; by default standard output.
    """

    async_safe = True  # it reads no batch's logs: the accelerator need not wait for it

    def __init__(self, steps: int, console: Console | None = None):
        super().__init__()
        self.steps, self.console = steps, console or Console(highlight=False)

    def on_train_begin(self, logs=None):
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.task = None
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        epochs = self.params["epochs"]
        if self.task is None:
            total = self.steps * (epochs - epoch)
            self.task = self.bar.add_task("", total=total)
        self.bar.update(self.task, description=f"epoch {epoch + 1}/{epochs}")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        told = ", ".join(
            f"{name.replace('val_', 'held-out ').replace('_', ' ')} {value:.4g}"
            for name, value in (logs or {}).items()
        )
        self.console.print(f"epoch {epoch + 1}/{self.params['epochs']}: {told}", soft_wrap=True)

    def close(self) -> None:
        """Takes the bar away; also after an error."""
        if hasattr(self, "bar"):
            self.bar.stop()

    def on_train_end(self, logs=None):
        self.close()
