"""Models from the Hugging Face Hub."""

from pathlib import Path

import keras

from keras_crate.hub.safety import check_keras_folder
from keras_crate.weights.hub_files import Address, Snapshot, download, parse_address, snapshot

# Keras' own format, unpacked.
KERAS_FILES = ("config.json", "metadata.json", "model.weights.h5")


def pull(address: str, *, revision: str | None = None, compile: bool = True) -> keras.Model:
    """Loads a model from the Hugging Face Hub.

    The files are kept in the Hub client's cache. Each is compared with the
    hash that the Hub states of it, whenever it is used; one that is damaged is
    downloaded again. No code of the repository is run. The client's settings
    hold: `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, and `HF_HUB_OFFLINE`, with which
    the cache is all there is.

    Args:
        address: `"hf://user/repository"` or `"hf://user/repository@revision"`.
        revision: Branch, tag or commit, where the address names none.
        compile: Whether to compile the model as it was when it was published.

    Returns:
        The model.

    Raises:
        FileNotFoundError: If there is no such repository or revision, it may
            not be read, or holds no Keras model.
        OSError: If the Hub cannot be reached and the model is not in the cache.
        ValueError: If the address is none, a file is not what the Hub states
            of it, or the model would run code.

    Example:

    ```python
    model = keras_crate.hub.pull("hf://user/digits@v1")
    ```
    """
    folder, snap = keras_folder(parse_address(address, revision), compile)
    return load_folder(folder, str(snap), compile=compile)


def keras_folder(address: Address, compile: bool = False) -> tuple[Path, Snapshot]:
    """The folder with a repository's Keras model, downloaded and checked.

    Args:
        address: The repository.
        compile: Whether its optimizer, loss and metrics will be made too.
    """
    snap = snapshot(address)
    missing = [name for name in KERAS_FILES if name not in snap.files]
    if missing:
        raise FileNotFoundError(
            f"{snap} holds no Keras model: {', '.join(missing)} is not there. It has: "
            f"{', '.join(sorted(snap.files)) or 'no files'}. For a checkpoint of the authors, "
            "download it and pass it to `keras_crate.hub.from_checkpoint`."
        )
    assets = [name for name in snap.files if name.startswith("assets/")]
    files = download(snap, [*KERAS_FILES, *assets])
    folder = files["config.json"].parent
    check_keras_folder(folder, str(snap), compile)
    return folder, snap


def load_folder(folder: Path, origin: str, compile: bool = True) -> keras.Model:
    """The model in a folder of Keras' format that was checked."""
    try:
        return keras.saving.load_model(folder, compile=compile, safe_mode=True)
    except Exception as error:  # HDF5, JSON and Keras each raise their own
        advice = (
            " Pass `compile=False` (`--no-compile`) to load it without its optimizer and loss."
            * compile
        )
        raise ValueError(f"The model of {origin} cannot be loaded: {error}{advice}") from error
