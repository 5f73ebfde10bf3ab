"""What the folder of a run says about its models, for their cards."""

from pathlib import Path
from typing import NamedTuple

from keras_crate.data.open_data import HUGGING_FACE
from keras_crate.reading import read_json
from keras_crate.training.recipe import Recipe
from keras_crate.training.run_folder import RunFolder

_OF_RUN = ("model", "weights", "images", "seed", "backend", "begun")


class RunFacts(NamedTuple):
    """Facts of a run, as arguments of `keras_crate.hub.push`."""

    dataset: str | None = None  # without the path, which stays private
    metrics: dict = {}
    training: dict = {}


def facts_of_run(file: Path) -> RunFacts:
    """Reads the facts of a model's run from run.json, recipe.json and metrics.json beside it.

    There are none for a file that is not `model.keras` or `best.keras` of a run.
    """
    run = RunFolder(file.parent)
    if file.name not in (run.model.name, run.best.name) or not run.record.is_file():
        return RunFacts()
    record = read_json(run.record, has={"versions": dict})
    recipe, measured = (read_json(f) if f.is_file() else {} for f in (run.recipe, run.metrics))
    dataset = str(record.get("dataset") or "").removeprefix(HUGGING_FACE) or None
    training = {name: record[name] for name in _OF_RUN if name in record}
    if str(training.get("model")).endswith(".keras"):  # the path stays private
        training["model"] = Path(training["model"]).name
    training["versions"] = _versions(record)
    # The recipe has the epochs of the whole run.
    epochs = "best_epoch" if file.name == run.best.name else "epochs"
    training["epochs"] = measured.get(epochs, "not finished")
    # Without defaults, and without its data, which may be others.
    defaults = Recipe().to_dict() | {"dataset": recipe.get("dataset")}
    training["recipe"] = {k: value for k, value in recipe.items() if value != defaults.get(k)}
    return RunFacts(dataset, _metrics(measured, file.name, run), training)


def _metrics(measured: dict, name: str, run: RunFolder) -> dict:
    """The accuracies of one of a run's two files."""
    validation = "best_val_accuracy" if name == run.best.name else "val_accuracy"
    found = {"validation_accuracy": measured.get(validation)}
    if measured.get("test_of") == name:
        found["test_accuracy"] = measured.get("test_accuracy")
    return {metric: value for metric, value in found.items() if value is not None}


def _versions(record: dict) -> str:
    """The versions of Keras, this package and the backend."""
    wanted = ("keras", "keras_crate", str(record.get("backend")), "tensorflow-cpu")
    versions = record["versions"]
    return ", ".join(f"{name} {versions[name]}" for name in wanted if name in versions)
