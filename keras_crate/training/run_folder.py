"""The folder of a run: its files, and the lock that keeps other runs out."""

import contextlib
import datetime
import json
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import keras

from keras_crate import __version__
from keras_crate.files import UNFINISHED, locked, make_folder, write_json
from keras_crate.reading import read_json
from keras_crate.training.recipe import Recipe

_PACKAGES = ("numpy", "jax", "tensorflow", "tensorflow-cpu", "torch", "pillow")


class RunFolder:
    """The folder of a run. `reserved` makes it."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.recipe = self.path / "recipe.json"
        self.record = self.path / "run.json"
        self.history = self.path / "history.csv"
        self.figure = self.path / "history.png"
        self.model = self.path / "model.keras"
        self.best = self.path / "best.keras"
        self.evaluation = self.path / "evaluation.json"
        self.metrics = self.path / "metrics.json"
        self.backup = self.path / "backup"
        self.lock = self.path / ".run.lock"
        self.processes = self.path / ".processes"

    @contextlib.contextmanager
    def reserved(self):
        """Locks the folder until the `with` statement or the process ends."""
        self.check()
        make_folder(self.path)
        message = (
            f"Another run is writing to {self.path}. Wait for its end, or choose another `output` "
            "(`--output` on the command line)."
        )
        with locked(self.lock, message):
            try:
                self.check()  # the other run may have finished meanwhile
                for part in self._unfinished():
                    shutil.rmtree(part)
                yield
            finally:
                with contextlib.suppress(OSError):  # Windows keeps a file that is open
                    self.lock.unlink()

    def check(self) -> None:
        """Refuses a folder that holds a finished run, or files of no run."""
        if not self.path.is_dir():
            return
        if self.record.exists() and self.metrics.exists():
            raise ValueError(
                f"The run in {self.path} is finished. Choose another `output` (`--output` on the "
                "command line), or remove the folder."
            )
        others = {*self.path.iterdir()} - {self.lock, self.processes, *self._unfinished()}
        if others and not self.record.exists():
            raise ValueError(
                "`output` must be a new or empty folder, or that of a run to resume. Received: "
                f"{self.path}, which has {min(others).name} and no {self.record.name}."
            )

    def _unfinished(self) -> list[Path]:
        """What `files.written_whole` left if its process was killed."""
        return [*self.path.glob(f"{UNFINISHED}*"), *self.backup.glob(f"{UNFINISHED}*")]

    def begin(self, recipe: Recipe, about: dict) -> None:
        """Writes run.json and recipe.json, or checks that they are those of this run."""
        if changed := self.changed(recipe, about):
            raise ValueError(
                f"Another run was begun in {self.path}: {changed}. Use the same settings to "
                "resume it, choose another `output`, or remove the folder."
            )
        if not self.record.exists():
            now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
            machine = {"begun": now, "machine": platform.platform(), "cores": os.cpu_count()}
            write_json(self.record, {**_record(recipe, about), "versions": _versions(), **machine})
        write_json(self.recipe, recipe.to_dict())

    def changed(self, recipe: Recipe, about: dict) -> str:
        """Returns which of the arguments of `begin` the run has other values of, in words."""
        if not self.record.exists():
            return ""
        now, begun = _flat(_record(recipe, about)), self.settings()
        changed = [name for name, value in now.items() if begun.get(name) != value]
        return ", ".join(f"{name} was {begun.get(name)!r}" for name in changed)

    def settings(self) -> dict:
        """Returns the content of run.json, with the recipe's settings at the top level."""
        return _flat(read_json(self.record, has={"recipe": dict}))


def _record(recipe: Recipe, about: dict) -> dict:
    record = {**about, "backend": keras.backend.backend(), "recipe": recipe.to_dict()}
    return json.loads(json.dumps(record))  # as it is read again: tuples are lists


def _flat(record: dict) -> dict:
    others = {name: value for name, value in record.items() if name != "recipe"}
    return {**others, **record["recipe"]}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "keras": keras.__version__}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {**versions, "keras_crate": __version__}
