"""Opens a model from a file, a variant or a repository, with its evaluation."""

import json
from pathlib import Path

import keras

from keras_crate.evaluation import Evaluation
from keras_crate.hub.pull import pulled
from keras_crate.models.load import build
from keras_crate.weights.hub_files import EVALUATION_FILE, SCHEME
from keras_crate.weights.variants import variants


def open_classifier(address: str) -> tuple[keras.Model, Evaluation]:
    """As `open_model`, for a classifier.

    Raises:
        ValueError: As `open_model`, or if it is a variant whose outputs are not classes.
    """
    if address in variants():
        variants()[address].check_classifies()
    model, evaluation = open_model(address)
    return model, evaluation or Evaluation.for_model(model)


def open_model(address: str, compile: bool = False) -> tuple[keras.Model, Evaluation | None]:
    """Opens a model, and its evaluation: how images are prepared for it.

    Args:
        address: Path of a `.keras` file, name of a variant, or
            `hf://user/repository[@revision]`.
        compile: Whether to compile the model as it was saved. A variant is never compiled.

    Returns:
        The model and its evaluation. The evaluation comes from the registry
        for a variant, and from `evaluation.json` in the repository or beside
        the file. It is None if nothing is known.

    Raises:
        ValueError: If there is no such file or variant, or the file cannot be
            loaded.
        FileNotFoundError: If there is no such repository, or no program can
            fetch a variant's weights.

    Example:

    ```python
    model, evaluation = open_model("crate_demo_mnist")
    ```
    """
    if address in variants():
        variant = variants()[address]
        return build(variant), Evaluation.from_dict(variant.evaluation)
    if address.startswith(SCHEME):
        model, folder = pulled(address, compile=compile)
        return model, _read_evaluation(folder / EVALUATION_FILE)
    if not Path(address).exists():
        raise ValueError(
            f"There is no model file {address}, and no variant of that name: `keras-crate "
            f"weights` lists them. A repository on the Hub is {SCHEME}user/name."
        )
    try:
        model = keras.saving.load_model(address, compile=compile)
    except Exception as error:  # zip, HDF5 and Keras each raise their own
        raise ValueError(f"The model {address} cannot be loaded: {error}") from error
    return model, _read_evaluation(Path(address).with_name(EVALUATION_FILE))


def _read_evaluation(file: Path) -> Evaluation | None:
    if not file.is_file():
        return None
    try:
        return Evaluation.from_dict(json.loads(file.read_text("utf8")))
    except ValueError as error:
        raise ValueError(f"The file {file} is not a valid evaluation: {error}") from error
