"""Refusals of downloaded models that could run code or read what is not theirs."""

import json
from pathlib import Path

import h5py
import keras

_OWN = ("keras", "keras_crate", "builtins")


def check_keras_folder(folder: Path, origin: str) -> None:
    """Refuses a downloaded model before any of it is made.

    A configuration may name only what is part of Keras and of this package,
    or was registered in this process by the user; no function that comes as
    code; and weights that are in the file itself. Keras' safe mode, which
    loading keeps on, refuses some of it too, in recent versions.

    Args:
        folder: Holds `config.json` and `model.weights.h5`.
        origin: What to call the model in errors.

    Raises:
        ValueError: If the model is refused; the error names why.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf8"))
    except ValueError as error:
        raise ValueError(f"The config.json of {origin} is no JSON: {error}.") from error
    _check(config, origin)
    try:
        with h5py.File(folder / "model.weights.h5", "r") as file:
            _check_links(file, origin)
    except OSError as error:
        raise ValueError(f"The model.weights.h5 of {origin} is no HDF5 file.") from error


def _check(config, origin: str) -> None:
    if isinstance(config, list):
        for item in config:
            _check(item, origin)
    if not isinstance(config, dict):
        return
    name = config.get("class_name")
    if name in ("Lambda", "__lambda__") or "__lambda__" in config:
        raise ValueError(
            f"{origin} holds a {name}, a function that comes as code. Code of a repository is "
            "never run, and nothing was loaded. Ask its owner for a model of registered layers."
        )
    module = config.get("module")
    if isinstance(name, str) and isinstance(module, str):
        registered = keras.saving.get_registered_object(config.get("registered_name") or name)
        if module.split(".")[0] not in _OWN and registered is None:
            raise ValueError(
                f"{origin} names {module}.{name}, which is no part of Keras or keras_crate. If "
                "you trust it, import what registers it "
                "(`keras.saving.register_keras_serializable`) and try again; the repository's "
                "own code is never run."
            )
    for value in config.values():
        _check(value, origin)


def _check_links(group, origin: str) -> None:
    for name in group:
        link = group.get(name, getlink=True)
        item = None if isinstance(link, h5py.ExternalLink) else group[name]
        if item is None or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise ValueError(
                f"The weights of {origin} point to another file ({name}). Nothing was loaded."
            )
        if isinstance(item, h5py.Group):
            _check_links(item, origin)
