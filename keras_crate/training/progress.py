"""The progress of a run: a bar with the time left, a line per epoch, images per second."""

import time

import keras
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress


class Throughput(keras.callbacks.Callback):
    """Adds `images_per_second` of the training steps and `learning_rate` to an epoch's values."""

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.start, self.end = time.monotonic(), None

    def on_test_begin(self, logs=None):
        self.end = self.end or time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        seconds = (self.end or time.monotonic()) - self.start
        logs["images_per_second"] = self.images / max(seconds, 1e-9)
        rate = self.model.optimizer.learning_rate
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(rate))


class RichProgress(keras.callbacks.Callback):
    """Shows a bar over all epochs with the time left, and prints the values of each epoch.

    Without a terminal, in a pipe or a file, there are only the lines of epochs.
    """

    async_safe = True  # see `FiniteLoss`

    def __init__(self, steps: int, epochs: int, console: Console | None = None):
        super().__init__()
        self.steps, self.epochs = steps, epochs
        columns = (*Progress.get_default_columns(), MofNCompleteColumn())
        console = console or Console(highlight=False)
        shown = console.is_terminal or console.is_jupyter
        self.bar = Progress(*columns, console=console, transient=True, disable=not shown)
        self.task = None

    def on_train_begin(self, logs=None):
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        if self.task is None:  # the first epoch of this process
            self.task = self.bar.add_task("", total=self.steps * (self.epochs - epoch))
        self.bar.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        values = ", ".join(
            f"{name.replace('val_', 'validation ').replace('_', ' ')} {value:.4g}"
            for name, value in logs.items()
        )
        line = f"epoch {epoch + 1}/{self.epochs}: {values}"
        self.bar.console.print(line, soft_wrap=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self) -> None:
        """Removes the bar. Also called after an error."""
        self.bar.stop()
