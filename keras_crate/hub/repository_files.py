"""Writes the files of a publication: the model, its copies, and its card."""

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np

from keras_crate.evaluation import Evaluation
from keras_crate.files import written_whole
from keras_crate.hub.card import model_card
from keras_crate.hub.keras_hub_files import KERAS_HUB_FILES, is_preset, write_preset
from keras_crate.hub.load_saved import load_saved
from keras_crate.hub.published import Published
from keras_crate.hub.results import RESULTS_FILE, RESULTS_FOLDER, eval_results
from keras_crate.hub.safety import check_keras_folder
from keras_crate.hub.to_pytorch import to_pytorch, write_tensors
from keras_crate.models import CRATEMAE
from keras_crate.models.half_precision import in_half, save_in_half
from keras_crate.models.published_names import without_keras_hub
from keras_crate.objective import LayerMeasurements, measure
from keras_crate.reading import read_text
from keras_crate.weights.hub_files import EVALUATION_FILE
from keras_crate.weights.tensor_files import AUTHORS_FILE, KERAS_FILES

CARD_FILE = "README.md"
CLASS_NAMES_FILE = "class_names.json"
FIGURE_FILE = "layers.png"
ASSETS = "assets"
# All but the card, which is always written.
REPLACED = (
    *KERAS_FILES, *KERAS_HUB_FILES, AUTHORS_FILE, CLASS_NAMES_FILE, EVALUATION_FILE, FIGURE_FILE,
    RESULTS_FILE,
)  # fmt: skip
# Larger models get no second copy, since Keras downloads every file of a repository.
_SECOND_COPY = 200_000_000


def write_files(
    folder: Path, model: keras.Model, published: Published, images, authors_copy: bool | None
) -> dict[str, Path]:
    """Writes all files of a publication into an empty folder, and returns them by their path."""
    whole = folder / "whole.keras"
    if published.dtype is None:
        model.save(whole)
    else:
        save_in_half(model, whole)
    with zipfile.ZipFile(whole) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        archive.extractall(folder, names)
    whole.unlink()
    if is_preset(model):
        names += write_preset(model, folder)
    files = {name: folder / name for name in names}
    try:
        check_keras_folder(folder, "the model")
        with without_keras_hub():
            loaded = load_saved(folder, "the model")
    except ValueError as error:
        raise ValueError(
            f"The published model could not be loaded: {error} Register your own classes and "
            "functions (`keras.saving.register_keras_serializable`), or compile the model with "
            "Keras' own."
        ) from error

    def add(name: str, content: str) -> None:
        files[name] = folder / name
        files[name].parent.mkdir(exist_ok=True)
        files[name].write_text(content, encoding="utf8")

    weights = sum(int(np.prod(weight.shape)) * 4 for weight in model.weights)
    if authors_copy or (authors_copy is None and weights < _SECOND_COPY):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the card names settings that are not in tensors
                tensors = to_pytorch(loaded)
            if published.dtype is not None:
                tensors = {name: in_half(tensor) for name, tensor in tensors.items()}
            write_tensors(tensors, folder / AUTHORS_FILE)
            files[AUTHORS_FILE] = folder / AUTHORS_FILE
        except ValueError:
            if authors_copy:
                raise
    class_names = getattr(model, "class_names", None)
    if class_names:
        add(CLASS_NAMES_FILE, json.dumps(list(class_names), ensure_ascii=False, indent=1))
    if published.evaluation != Evaluation.known_for(model):  # else it is in config.json
        add(EVALUATION_FILE, json.dumps(published.evaluation.to_dict(), indent=1))
    if results := eval_results(published):
        add(RESULTS_FILE, results)
    layers = ""
    if images is not None:
        files[FIGURE_FILE] = folder / FIGURE_FILE
        layers = str(write_figure(loaded, images, files[FIGURE_FILE]))
    add(CARD_FILE, str(model_card(model, published, layers, set(files))))
    return files


def write_figure(model: keras.Model, images, file: Path) -> LayerMeasurements:
    """Measures and draws every block of a model, or of a masked autoencoder's encoder."""
    measured = measure(model.encoder() if isinstance(model, CRATEMAE) else model, images)
    measured.plot().savefig(file, dpi=150)
    return measured


def write_folder(folder: Path, *publication) -> None:
    """Writes all files of a publication into a folder, which stays as it was after an error."""
    with written_whole(folder, folder=True) as unfinished:
        unfinished.mkdir()
        write_files(unfinished, *publication)


def check_dry_run(folder: Path) -> Path:
    """Returns the absolute path of a folder that a dry run may write."""
    folder = folder.resolve()
    rule = "`dry_run` must be a folder that is new, empty, or that an earlier dry run wrote."
    if folder == Path.cwd() or (folder.exists() and not folder.is_dir()):
        what = "the current folder" if folder.is_dir() else "a file"
        raise ValueError(f"{rule} Received: {folder}, which is {what}.")
    found = set(_names_in(folder)) if folder.exists() else set()
    others = found - {*REPLACED, CARD_FILE, ASSETS}
    card = folder / CARD_FILE
    is_ours = found >= {*KERAS_FILES, CARD_FILE} and "keras_crate" in read_text(card)
    if others or (found and not is_ours):
        raise ValueError(f"{rule} Received: {folder}, which has {min(others or found)}.")
    return folder


def _names_in(folder: Path) -> Iterator[str]:
    for part in folder.iterdir():
        if part.name == RESULTS_FOLDER and part.is_dir():  # may have results of the user
            yield from (f"{RESULTS_FOLDER}/{name.name}" for name in part.iterdir())
        else:
            yield part.name
