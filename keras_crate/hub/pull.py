"""Loads models from the Hugging Face Hub, and from folders with the same files."""

import os
import shutil
from pathlib import Path

import keras

from keras_crate.checks import names_arguments
from keras_crate.hub.load_saved import load_safetensors, load_saved
from keras_crate.hub.safety import check_keras_folder
from keras_crate.models.published_names import without_keras_hub
from keras_crate.weights.hdf5_process import clean_copy
from keras_crate.weights.hub_files import SCHEME, check_has_model, parse_address
from keras_crate.weights.repository import Repository, repository_on_hub
from keras_crate.weights.tensor_files import KERAS_FILES, WEIGHTS_FILE

_DESCRIPTION = tuple(name for name in KERAS_FILES if name != WEIGHTS_FILE)


@names_arguments
def pull(
    address: str | os.PathLike, *, revision: str | None = None, compile: bool = True
) -> keras.Model:
    """Loads a model from the Hugging Face Hub, or from a folder with a repository's files.

    The files stay in the cache of the Hub's client. Every time a file is used,
    it is compared with the hash that the Hub states. A damaged file is
    downloaded again. No code of the repository is run. If `model.safetensors` has all
    weights, the HDF5 file is neither downloaded nor read. An optimizer's state is in
    the HDF5 file alone: a compiled model needs `compile=False` for this. A process of
    its own reads HDF5, since a hostile file can crash the library that reads it.

    The client's settings are obeyed: `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and
    `HF_HUB_OFFLINE`. With the last one, only the cache is used.

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
        ValueError: If the address is not valid, a file is damaged or not what the
            Hub states, or the model would run code or is far larger than its weights.

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
    text = str(address)
    if text.startswith(SCHEME) or not os.path.isdir(address):
        repository = repository_on_hub(parse_address(text, revision))
    elif revision is not None:
        raise ValueError(f"A folder has no revisions. Received: {text}, revision={revision!r}")
    else:
        repository = Repository(Path(address), text)
    folder, origin, _ = repository
    check_has_model(folder, origin, _DESCRIPTION)
    check_keras_folder(folder, origin, compile)
    with without_keras_hub():
        model = load_safetensors(repository, compile)
        return (_from_hdf5(repository, compile) if model is None else model), folder


def _from_hdf5(repository: Repository, compile: bool) -> keras.Model:
    folder, origin, _ = repository
    with clean_copy(repository.hdf5(), origin) as weights:
        beside = weights.parent
        for name in _DESCRIPTION:
            shutil.copy(folder / name, beside / name)
        if (folder / "assets").is_dir():
            shutil.copytree(folder / "assets", beside / "assets")
        return load_saved(beside, origin, compile)
