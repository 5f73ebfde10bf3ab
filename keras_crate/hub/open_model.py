"""Opens a model from a file, a variant or a repository, with its evaluation."""

import os
from pathlib import Path

import keras

from keras_crate.checks import did_you_mean
from keras_crate.evaluation import Evaluation
from keras_crate.hub.load_saved import load_saved
from keras_crate.hub.pull import pulled
from keras_crate.models.load import build
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.reading import read_json
from keras_crate.weights.hub_files import EVALUATION_FILE, SCHEME
from keras_crate.weights.variants import lookup, names_of_variants


def open_classifier(address: str) -> tuple[keras.Model, Evaluation]:
    """As `open_model`, for a classifier."""
    variant = lookup(address)
    if variant:
        variant.check_classifies()
    model, evaluation = open_model(address)
    return model, evaluation or Evaluation.for_model(model)


def open_model(address: str, compile: bool = False) -> tuple[keras.Model, Evaluation | None]:
    """Opens a `.keras` file, a variant, or a repository's files, on the Hub or in a folder.

    Returns the model and its evaluation: how images are prepared for it, or None if
    nothing is known. Version 0.1 wrote the evaluation to `evaluation.json` in the
    repository or beside the file.
    """
    variant = lookup(address)
    if variant:
        model = build(variant)
        return model, Evaluation.known_for(model)
    if address.startswith(SCHEME) or os.path.isdir(address):
        model, folder = pulled(address, compile=compile)
        return model, _evaluation_of(model, folder / EVALUATION_FILE)
    if not os.path.exists(address):
        raise ValueError(
            f"There is no model file {address}, and no variant of that name"
            f"{did_you_mean(address, names_of_variants())}\n"
            f"`keras-crate weights` lists variants. A repository on the Hub is {SCHEME}user/name."
        )
    model = load_saved(Path(address), address, compile)
    return model, _evaluation_of(model, Path(address).with_name(EVALUATION_FILE))


def _evaluation_of(model, file: Path) -> Evaluation | None:
    """The model's own evaluation, else that of the file, which the model then keeps."""
    known = Evaluation.known_for(model)
    if known or not file.is_file():
        return known
    try:
        evaluation = Evaluation.from_dict(read_json(file))
    except ValueError as error:
        raise ValueError(f"The file {file} is not a valid evaluation: {error}") from error
    if isinstance(model, WhiteBoxModel):
        evaluation.keep_in(model)
    return evaluation
