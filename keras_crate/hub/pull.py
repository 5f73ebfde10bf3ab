"""Loads models from the Hugging Face Hub, and from folders with the same files."""

import json
import math
import os
import shutil
import warnings
from pathlib import Path

import keras

from keras_crate.checks import names_arguments
from keras_crate.hub.safety import check_keras_folder
from keras_crate.keras_internals import variables_without_values
from keras_crate.models.published_names import without_keras_hub
from keras_crate.weights.damaged import Refused, check_declared
from keras_crate.weights.hdf5_process import clean_copy
from keras_crate.weights.hub_files import SCHEME, check_has_model, download_model, parse_address
from keras_crate.weights.tensor_files import WEIGHTS_FILE

_SMALLEST_BLOCK = 100_000  # bytes that a block is taken to declare; real ones are larger


@names_arguments
def pull(
    address: str | os.PathLike, *, revision: str | None = None, compile: bool = True
) -> keras.Model:
    """Loads a model from the Hugging Face Hub, or from a folder with a repository's files.

    The files stay in the cache of the Hub's client. Every time a file is used,
    it is compared with the hash that the Hub states. A damaged file is
    downloaded again. No code of the repository is run. The client's settings
    are obeyed: `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`. With
    the last one, only the cache is used.

    Args:
        address: `"hf://user/repository"` or `"hf://user/repository@revision"`; or
            a folder, such as `push(dry_run=FOLDER)` writes.
        revision: Branch, tag or commit, if the address names none.
        compile: Whether to compile the model as it was when it was published.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such repository, revision or folder, it
            may not be read, or it holds no Keras model.
        OSError: If the Hub cannot be reached and the model is not in the cache.
        ValueError: If the address is not valid, a file is not what the Hub
            states, or the model would run code.

    Example:

    ```python
    model = keras_crate.hub.pull("hf://user/digits@v1")
    ```
    """
    return pulled(address, revision, compile)[0]


def pulled(
    address: str | os.PathLike, revision: str | None = None, compile: bool = False
) -> tuple[keras.Model, Path]:
    """As `pull`, but also returns the folder with the files."""
    folder, origin = Path(address), str(address)
    if origin.startswith(SCHEME) or not folder.is_dir():
        folder, origin = download_model(parse_address(origin, revision))
    elif revision is not None:
        raise ValueError(f"A folder has no revisions. Received: {origin}, revision={revision!r}")
    else:
        check_has_model(folder, origin)
    check_keras_folder(folder, origin, compile)
    with clean_copy(folder / WEIGHTS_FILE, origin) as weights:
        for file in folder.iterdir():
            if file.name != WEIGHTS_FILE:
                (shutil.copytree if file.is_dir() else shutil.copy)(
                    file, weights.parent / file.name
                )
        return load_folder(weights.parent, origin, compile), folder


def load_folder(folder: Path, origin: str, compile: bool = True) -> keras.Model:
    """Loads a model from a folder that `check_keras_folder` accepted.

    Raises:
        ValueError: If it cannot be loaded, or is much larger than its file of weights.
    """
    try:
        with without_keras_hub():
            _check_size(folder, origin)
            return keras.saving.load_model(folder, compile=compile, safe_mode=True)
    except Refused:
        raise
    except Exception as error:  # HDF5, JSON and Keras raise errors of many kinds
        advice = " `compile=False` (`--no-compile`) loads it without optimizer and loss."
        reason = " ".join(str(error).split())[:300]  # Keras' messages have the configuration
        raise ValueError(
            f"The model of {origin} cannot be loaded: {reason}{advice * compile}"
        ) from error


def _check_size(folder: Path, origin: str) -> None:
    """Compares the size of the model that a folder describes with that of its weights."""
    depths: list[int] = []

    def note_depth(part: dict) -> dict:
        depths.append(part.get("depth", 0))
        return part

    text = (folder / "config.json").read_text("utf8")
    config = json.loads(text, object_hook=note_depth)
    size = (folder / WEIGHTS_FILE).stat().st_size
    blocks = sum(depth for depth in depths if isinstance(depth, int))
    check_declared(origin, blocks * _SMALLEST_BLOCK, size)  # each takes time to build
    with warnings.catch_warnings(), variables_without_values():
        warnings.simplefilter("ignore")  # they come when the model itself is made
        model = keras.saving.deserialize_keras_object({**config, "compile_config": None})
    check_declared(origin, sum(4 * math.prod(weight.shape) for weight in model.weights), size)
