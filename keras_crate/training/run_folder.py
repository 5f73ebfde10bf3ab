"""The folder of a run: what it is, how far it came, and what came out."""

import csv
import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from keras_crate import __version__
from keras_crate.figure import new_figure
from keras_crate.training.recipe import Recipe

_PACKAGES = ("numpy", "jax", "tensorflow", "tensorflow-cpu", "torch", "pillow")


class RunFolder:
    """Where a run writes. Each file is written whole or not at all.

    Args:
        path: The folder; made if it does not exist.

    Raises:
        OSError: If it cannot be written; before any training.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = writable_folder(path)
        self.recipe = self.path / "recipe.json"
        self.record = self.path / "run.json"
        self.history = self.path / "history.csv"
        self.figure = self.path / "history.png"
        self.model = self.path / "model.keras"
        self.best = self.path / "best.keras"
        self.evaluation = self.path / "evaluation.json"
        self.metrics = self.path / "metrics.json"
        self.backup = self.path / "backup"

    def begin(self, recipe: Recipe, about: dict) -> None:
        """Writes what the run is, or checks that it is the one that was begun here.

        Args:
            recipe: The settings.
            about: What else decides the numbers: model, data, seed.

        Raises:
            ValueError: If another run was begun here, or this one is finished.
            ImportError: If there is no matplotlib to draw the history.
        """
        new_figure(1, 1)  # if it cannot draw, it says so before it trains
        backend = keras.backend.backend()
        record = {**about, "backend": backend, "versions": _versions()}
        if self.metrics.exists():
            raise ValueError(
                f"The run in {self.path} is finished. Choose another `output` (`--output` on the "
                "command line), or remove the folder."
            )
        if self.record.exists() and self.recipe.exists():
            begun = json.loads(self.record.read_text("utf8"))
            settings = json.loads(self.recipe.read_text("utf8"))
            now = {**json.loads(json.dumps({**about, "backend": backend})), **recipe.to_dict()}
            was = {**begun, **settings}
            changed = [name for name, value in now.items() if was.get(name) != value]
            if changed:
                told = ", ".join(f"{name} was {was.get(name)!r}" for name in changed)
                raise ValueError(
                    f"Another run was begun in {self.path}: {told}. Start the same command to "
                    "resume it, choose another `output`, or remove the folder."
                )
            return
        write_json(self.recipe, recipe.to_dict())
        record |= {"begun": _now(), "machine": platform.platform(), "cores": os.cpu_count()}
        write_json(self.record, record)

    def rows(self) -> list[dict[str, float]]:
        """The epochs that history.csv holds."""
        # Keras writes "NA" where a metric was not measured.
        return [{k: float(v) for k, v in row.items() if v != "NA"} for row in self._whole_rows()]

    def keep_rows(self, epochs: int) -> None:
        """Drops from history.csv the epochs that will be trained again."""
        rows = [row for row in self._whole_rows() if int(float(row["epoch"])) < epochs]
        if rows:
            partial = self.history.with_suffix(".partial")
            with partial.open("w", encoding="utf8", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)
            os.replace(partial, self.history)
        else:
            self.history.unlink(missing_ok=True)

    def _whole_rows(self) -> list[dict[str, str]]:
        """Lines as they are; the last one may have been cut off."""
        if not self.history.exists():
            return []
        with self.history.open(encoding="utf8", newline="") as file:
            text = file.read()
        lines = text[: text.rfind("\n") + 1].splitlines()
        return [row for row in csv.DictReader(lines) if None not in row.values()]

    def draw(self) -> None:
        """Writes history.png: loss, accuracy and learning rate over the epochs."""
        rows = self.rows()
        panels = [
            (title, [name for name in names if rows and name in rows[0]])
            for title, names in (
                ("loss", ("loss", "val_loss")),
                ("accuracy", ("accuracy", "val_accuracy")),
                ("learning rate", ("learning_rate",)),
            )
        ]
        panels = [(title, names) for title, names in panels if names]
        if not panels:
            return
        figure = new_figure(3.2 * len(panels), 2.6)
        for axes, (title, names) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True
        ):
            for name in names:
                label = "held out" if name.startswith("val_") else "training"
                marker = "o" if len(rows) == 1 else None
                epochs = [row["epoch"] + 1 for row in rows]
                axes.plot(epochs, [row[name] for row in rows], label=label, marker=marker)
            axes.set(xlabel="epoch", title=title)
            if len(names) > 1:
                axes.legend(frameon=False)
        figure.savefig(self.figure, dpi=150)


def writable_folder(path: str | os.PathLike) -> Path:
    """The folder, made and tried: better now than after the training.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial = path / ".trial"
        trial.write_bytes(b"0")
        trial.unlink()
    except OSError as error:
        raise OSError(
            f"The output folder {path} cannot be written ({error.strerror}). Choose another with "
            "`output` (`--output` on the command line)."
        ) from error
    return path


def write_json(path: Path, value) -> None:
    """Writes JSON whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf8")
    os.replace(partial, path)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "keras": keras.__version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**versions, "keras_crate": __version__}


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
