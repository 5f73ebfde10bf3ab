"""A model by whatever names it: a file, a variant, a repository on the Hub."""

import json
from pathlib import Path

import keras

from keras_crate.evaluation import Evaluation
from keras_crate.hub.pull import keras_folder, load_folder
from keras_crate.hub.push import EVALUATION_FILE
from keras_crate.weights.hub_files import SCHEME, download, parse_address
from keras_crate.weights.variants import variants


def open_classifier(address: str) -> tuple[keras.Model, Evaluation]:
    """As `open_model`, of a classifier.

    Raises:
        ValueError: If it is a variant whose outputs are no classes, too.
    """
    if address in variants() and not variants()[address].classifies:
        raise ValueError(
            f"The outputs of {address} are no classes: {variants()[address].provenance['notes']}"
        )
    return open_model(address)


def open_model(address: str, compile: bool = False) -> tuple[keras.Model, Evaluation]:
    """A model, and how images are prepared for it.

    Args:
        address: Path of a `.keras` file, name of a variant, or
            `hf://user/repository[@revision]`.
        compile: Whether to compile it as it was saved; a variant never is.

    Returns:
        The model, and its evaluation: the registry's for a
        variant, the published one for a repository that has it, that of the
        folder for a file that a training run wrote; otherwise
        what is customary for a model of its size.

    Raises:
        ValueError: If nothing has this name, or the file cannot be loaded.
        FileNotFoundError: If there is no such file, repository or weights.

    Example:

    ```python
    model, evaluation = open_model("crate_demo_mnist")
    ```
    """
    if address.startswith(SCHEME):
        folder, snap = keras_folder(parse_address(address), compile)
        model = load_folder(folder, str(snap), compile=compile)
        if EVALUATION_FILE in snap.files:
            file = download(snap, [EVALUATION_FILE])[EVALUATION_FILE]
            return model, _evaluation_in(file, f"{EVALUATION_FILE} of {snap}")
        return model, Evaluation.for_model(model)
    if address in variants():
        variant = variants()[address]
        return variant.build(), variant.evaluation
    if not Path(address).exists():
        raise ValueError(
            f"There is no model file {address}, and no variant of that name: `keras-crate "
            f"weights` lists them. A repository on the Hub is {SCHEME}user/name."
        )
    try:
        model = keras.saving.load_model(address, compile=compile)
    except Exception as error:  # zip, HDF5 and Keras each raise their own
        raise ValueError(f"The model {address} cannot be loaded: {error}") from error
    beside = Path(address).with_name(EVALUATION_FILE)  # in the folder of a training run
    if beside.is_file():
        return model, _evaluation_in(beside, str(beside))
    return model, Evaluation.for_model(model)


def _evaluation_in(file: Path, name: str) -> Evaluation:
    try:
        return Evaluation.from_dict(json.loads(file.read_text("utf8")))
    except ValueError as error:
        raise ValueError(f"The {name} is wrong: {error}") from error
