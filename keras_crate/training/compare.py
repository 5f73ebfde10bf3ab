"""Compares models: the same data and recipe, several seeds, a table and a figure."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.data import open_data
from keras_crate.data.image_sources import LabelledImages
from keras_crate.figure import ShownAsFigure, legend_beside, new_figure
from keras_crate.files import write_json, written_whole
from keras_crate.models import CRATEMAE
from keras_crate.reading import read_json
from keras_crate.training.history import RunHistory
from keras_crate.training.pretrain import pretrain
from keras_crate.training.recipe import Recipe, load_recipe
from keras_crate.training.run import RunOptions
from keras_crate.training.run_folder import RunFolder

FILES = ("comparison.json", "comparison.md", "comparison.png")


@names_arguments
@dataclasses.dataclass(frozen=True, repr=False)
class Comparison(ShownAsFigure):
    """Result of `compare`. `print` shows it as a table in Markdown.

    Attributes:
        seeds: The seeds.
        parameters: Number of parameters, by model.
        histories: By model, and then for each seed: every epoch's values, by name.
        test_accuracies: By model: the accuracy on the test images for each seed, in
            [0, 1], of the epoch with the best validation accuracy. Empty without
            test images.
    """

    seeds: tuple[int, ...]
    parameters: dict[str, int]
    histories: dict[str, list[dict[str, list[float]]]]
    test_accuracies: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def accuracies(self, model: str) -> np.ndarray:
        """Returns the last epoch's validation accuracy for each seed, in [0, 1]."""
        return np.array([history["val_accuracy"][-1] for history in self.histories[model]])

    def __str__(self) -> str:
        columns = ["model", "parameters", "validation accuracy, %", "training loss"]
        if self.test_accuracies:
            columns.insert(2, "test accuracy, %")
        lines = [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)])]
        for model, histories in self.histories.items():
            loss = _mean_and_deviation([history["loss"][-1] for history in histories], 3)
            values = [_mean_and_deviation(100 * self.accuracies(model), 1), loss]
            if self.test_accuracies:
                tested = 100 * np.array(self.test_accuracies[model])
                values.insert(0, _mean_and_deviation(tested, 1))
            lines.append(_row([model, f"{self.parameters[model]:,}", *values]))
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Returns all values as JSON holds them."""
        return dataclasses.asdict(self)

    def plot(self):
        """Draws validation accuracies: by epoch, and for each seed after the last.

        Bands are from the lowest to the highest seed.

        Returns:
            A `matplotlib.figure.Figure`.
        """
        figure = new_figure(8, 3)
        by_epoch, last = figure.subplots(1, 2, width_ratios=(1.4, 1))
        for k, (model, histories) in enumerate(self.histories.items()):
            curves = 100 * np.array([history["val_accuracy"] for history in histories])
            epochs = np.arange(1, curves.shape[1] + 1)
            [line] = by_epoch.plot(epochs, curves.mean(axis=0), label=model)
            by_epoch.fill_between(
                epochs,
                curves.min(axis=0),
                curves.max(axis=0),
                alpha=0.2,
                lw=0,
                color=line.get_color(),
            )
            last.plot(curves[:, -1], [k] * len(curves), "o", color=line.get_color(), alpha=0.6)
            last.plot(curves[:, -1].mean(), k, "|", color=line.get_color(), ms=16, mew=2)
        by_epoch.set(xlabel="epoch", ylabel="validation accuracy, %")
        legend_beside(by_epoch)
        last.set(xlabel="after the last epoch, %", yticks=range(len(self.histories)))
        last.set_yticklabels(self.histories)
        last.invert_yaxis()
        last.margins(y=0.2)
        return figure


@names_arguments(options=[RunOptions], inside={"recipe": Recipe})
def compare(
    models: Mapping[str, Callable[[int], keras.Model]],
    data,
    output: str | os.PathLike = "crate-compare",
    *,
    recipe: "str | os.PathLike | Recipe",
    seeds: Sequence[int] = (0, 1, 2),
    validation=None,
    limit: int | None = None,
    verbose: int = 1,
    **options,
) -> Comparison:
    """Trains models on the same data by the same recipe, with several seeds, and compares them.

    The output folder gets comparison.md (the table), comparison.json,
    comparison.png, and each run in `MODEL/seed-N`, as `pretrain` writes it. If
    the same call is started again, finished runs are read from their folders
    and an interrupted one is resumed.

    Args:
        models: By name, a function that takes a seed and returns a new
            classifier of the data's classes. The global seed is set before.
        data: As in `keras_crate.data.open_data`. It must have validation images.
        output: Folder to write to: new, empty, or that of the same comparison.
        recipe: As in `load_recipe`.
        seeds: A seed for each run of a model.
        validation, limit: As in `pretrain`.
        verbose: 1 for a line per run, 0 for no output.
        **options: As in `RunOptions`, without `seed` and `verbose`.

    Returns:
        A `Comparison`.

    Raises:
        TrainingDiverged: If a loss becomes NaN or infinite.
        ValueError: If an argument is not as described, or the folder holds other
            files.

    Example:

    ```python
    def crate(compress):
        return lambda seed: keras_crate.CRATE(
            24, 1, 2, compress=compress, input_shape=(8, 8, 1), patch_size=4, classes=10
        )

    models = {"MSSA": crate("mssa"), "TSSA": crate("tssa")}
    recipe = keras_crate.training.Recipe(epochs=1)
    found = keras_crate.training.compare(models, "digits", recipe=recipe, limit=256)
    print(found)
    ```
    """
    recipe = load_recipe(recipe, image_size=None)  # each model has its own
    opened = open_data(data, validation=validation, limit=limit)
    _check(models, seeds, opened)
    folder = Path(output)
    _check_folder(folder, models)
    found = Comparison(tuple(seeds), {}, {name: [] for name in models})
    if opened.test is not None:
        found.test_accuracies.update({name: [] for name in models})
    for seed in seeds:
        for name, make in models.items():
            keras.utils.set_random_seed(seed)
            model = make(seed)
            if not isinstance(model, keras.Model) or isinstance(model, CRATEMAE):
                raise ValueError(
                    f"The function of {name!r} must return a classifier. Received: a "
                    f"{type(model).__name__}"
                )
            found.parameters[name] = model.count_params()
            run = RunFolder(folder / name / f"seed-{seed}")
            if run.metrics.exists():
                _check_same(run, model, opened, recipe, seed)
            else:
                pretrain(model, opened, run.path, recipe=recipe, seed=seed, verbose=0, **options)
            rows = RunHistory(run.history, recipe.epochs).rows
            found.histories[name].append({k: [row[k] for row in rows] for k in rows[0]})
            line = f"{name}, seed {seed}: validation accuracy {found.accuracies(name)[-1]:.2%}"
            if opened.test is not None:
                tested = read_json(run.metrics, has={"test_accuracy": float})["test_accuracy"]
                found.test_accuracies[name].append(tested)
                line += f", test accuracy {tested:.2%}"
            if verbose:
                print(line)
    write_json(folder / "comparison.json", found.to_dict())
    with written_whole(folder / "comparison.md") as file:
        file.write_text(f"{found}\n", "utf8")
    with written_whole(folder / "comparison.png") as file:
        found.plot().savefig(file, dpi=150)
    return found


def _check(models, seeds, data: LabelledImages) -> None:
    for name, make in models.items():
        is_function = callable(make) and not isinstance(make, keras.Model)
        if not is_function or not name or Path(name).name != name or name in FILES:
            raise ValueError(
                "`models` must have names of folders, and functions from a seed to a model. "
                f"Received: {name!r}: a {type(make).__name__}"
            )
    if not models or not seeds or len({*seeds}) < len(seeds):
        raise ValueError(
            "There must be a model, and a seed or several different ones. Received: "
            f"{len(models)} models, seeds={seeds}"
        )
    if data.validation is None:
        raise ValueError(f"There must be validation images. Received: none with {data.source}")


def _check_folder(folder: Path, models) -> None:
    others = {path.name for path in folder.iterdir()} - {*models, *FILES} if folder.exists() else ()
    if others:
        raise ValueError(
            "`output` must be a new or empty folder, or that of a comparison of these models. "
            f"Received: {folder}, which has {min(others)}."
        )


def _check_same(run: RunFolder, model, data: LabelledImages, recipe: Recipe, seed: int) -> None:
    """Refuses a finished run of another model, other data or another recipe."""
    facts = {
        "parameters": model.count_params(),
        "data": data.source,
        "images": len(data.train),
        "seed": seed,
    }
    if data.test is not None:
        facts["test_images"] = len(data.test)
    run.begin(recipe, facts)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _mean_and_deviation(values, digits: int) -> str:
    """The mean, and if there are several values their standard deviation (unbiased)."""
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean
