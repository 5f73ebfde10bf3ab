"""The history of a run: every epoch's values, as a table and as a figure."""

import csv
import itertools
from pathlib import Path

import keras
import numpy as np

from keras_crate.figure import legend_beside, new_figure
from keras_crate.files import written_whole
from keras_crate.reading import read_text

_MOST_BYTES = 2**26  # of the most epochs that a recipe may have
_PANELS = {
    "loss": ("loss", "val_loss"),
    "accuracy": ("accuracy", "val_accuracy"),
    "learning rate": ("learning_rate",),
}


class RunHistory(keras.callbacks.Callback):
    """Writes every epoch's values to a CSV file, which is whole after each epoch.

    The first `epochs` of the file are kept. Later ones will be trained again.
    """

    def __init__(self, file: Path, epochs: int, writes: bool = True):
        super().__init__()
        self.file, self.writes, self.rows = file, writes, []
        if epochs:
            rows = csv.DictReader(read_text(file, _MOST_BYTES).splitlines())
            try:
                for row in itertools.islice(rows, epochs):
                    values = {name: float(value) for name, value in row.items() if value}
                    self.rows.append({**values, "epoch": int(row["epoch"])})
            except (ValueError, TypeError, KeyError, csv.Error) as error:
                raise ValueError(
                    f"{file} is damaged: it must have numbers, one line an epoch. Put it back, or "
                    "remove the run's folder to begin again."
                ) from error

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch, **logs})
        if not self.writes:
            return
        names = dict.fromkeys(name for row in self.rows for name in row)
        with (
            written_whole(self.file) as unfinished,
            unfinished.open("w", encoding="utf8", newline="") as file,
        ):
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)

    def best(self) -> dict | None:
        """Returns the epoch with the best validation accuracy, or None without validation."""
        measured = [row for row in self.rows if "val_accuracy" in row]
        return max(measured, key=lambda row: row["val_accuracy"], default=None)

    def draw(self, file: Path) -> None:
        """Draws loss, accuracy and learning rate against the epoch, into an image file."""
        measured = self.rows[0].keys()
        panels = {k: [n for n in names if n in measured] for k, names in _PANELS.items()}
        panels = {title: names for title, names in panels.items() if names}
        figure = new_figure(3.2 * len(panels), 2.6)
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        epochs = [row["epoch"] + 1 for row in self.rows]
        marker = "o" if len(epochs) == 1 else None
        for ax, (title, names) in zip(axes, panels.items(), strict=True):
            for name in names:
                label = "validation" if name.startswith("val_") else "training"
                ax.plot(epochs, [row[name] for row in self.rows], label=label, marker=marker)
            ax.set(xlabel="epoch", title=title)
            if len(names) > 1:
                legend_beside(ax)
        with written_whole(file) as unfinished:
            figure.savefig(unfinished, dpi=150)
