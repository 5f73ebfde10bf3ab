"""Loads models that Keras saved, if they are no larger than their file can be."""

import contextlib
import math
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from keras_crate.keras_internals import needs_values, variables_without_values
from keras_crate.reading import parse_json, read_json
from keras_crate.weights.assign import assign, variables_of
from keras_crate.weights.damaged import Refused, check_declared, damaged
from keras_crate.weights.repository import Repository
from keras_crate.weights.tensor_files import AUTHORS_FILE, WEIGHTS_FILE, TensorFile
from keras_crate.weights.zip_member import check_unpacked

_SMALLEST_BLOCK = 100_000  # bytes that a block is taken to declare, since it takes time to build


def load_saved(path: Path, origin: str, compile: bool = True) -> keras.Model:
    """Loads a model.

    Args:
        path: A `.keras` file, or a folder with its content.
        origin: What to call it in errors.
        compile: Whether to compile the model as it was saved.

    Raises:
        ValueError: If it cannot be loaded. This includes a model that is far larger than
            its weights. Nothing of it is allocated.
    """
    with _errors_named(origin, compile):
        _check_size(path, origin)
        return keras.saving.load_model(path, compile=compile, safe_mode=True)


def load_safetensors(repository: Repository, compile: bool) -> keras.Model | None:
    """Loads a published model without HDF5.

    Args:
        repository: The model's files.
        compile: As in `load_saved`.

    Returns:
        The model, or None if its safetensors do not hold all that `load_saved` would load:
        every variable, with its precision, and an optimizer's state.

    Raises:
        OSError, ValueError: As `load_saved` and `Repository.safetensors`.
    """
    folder, origin, _ = repository
    config = read_json(
        folder / "config.json", has={"config": dict}, name=f"The config.json of {origin}"
    )
    if (compile and config.get("compile_config")) or (folder / "assets").is_dir():
        return None
    file = repository.safetensors()
    if file is None:
        return None
    with _errors_named(origin, compile=False):
        described = _described(config, origin, (folder / AUTHORS_FILE).stat().st_size)
        if described is None or not _holds_all(file, described):
            return None
        model = keras.saving.deserialize_keras_object({**config, "compile_config": None})
        assign(model, file.tensors, origin, file.facts)
        return model


def _holds_all(file: TensorFile, model: keras.Model) -> bool:
    """Whether a file has every variable of a model, no other one, and no fewer digits."""
    own = variables_of(model)
    shapes = {path: tensor.shape for path, tensor in file.tensors.items()}
    return shapes == {path: tuple(variable.shape) for path, variable in own.items()} and not any(
        variable.dtype == "float64" for variable in own.values()
    )


@contextlib.contextmanager
def _errors_named(origin: str, compile: bool) -> Iterator[None]:
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # zip, HDF5, JSON and Keras raise errors of many kinds
        advice = " `compile=False` (`--no-compile`) loads it without optimizer and loss."
        # Keras' messages begin with the whole configuration.
        reason = " ".join(str(error).rpartition("Exception encountered: ")[2].split())[:300]
        raise ValueError(
            f"The model {origin} cannot be loaded: {reason}{advice * compile}"
        ) from error


def _check_size(path: Path, origin: str) -> None:
    """Refuses a configuration that describes a model far larger than its weights."""
    if path.is_dir():
        text, size = (path / "config.json").read_bytes(), (path / WEIGHTS_FILE).stat().st_size
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_unpacked(archive, origin)
            text, size = archive.read("config.json"), os.path.getsize(path)
    elif h5py.is_hdf5(path) or not path.exists():  # Keras' older format; its error names the path
        return
    else:
        raise damaged(origin, "it is neither a zip archive nor HDF5")
    _described(parse_json(text, f"The config.json of {origin}", has={"config": dict}), origin, size)


def _described(config: dict, origin: str, size: int) -> keras.Model | None:
    """Makes the model of a configuration without values.

    Args:
        config: The content of a `config.json`.
        origin: What to call it in errors.
        size: Bytes of the model's weights.

    Returns:
        The model, or None if it has a layer that needs values.

    Raises:
        Refused: If the model is far larger than its weights.
    """
    blocks = sum(_depths(config))
    check_declared(origin, blocks * _SMALLEST_BLOCK, size)
    with warnings.catch_warnings(), variables_without_values():
        warnings.simplefilter("ignore")  # they come when the model itself is made
        try:
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None})
        except Exception as error:
            if needs_values(error):  # a layer of the user's: no other is made so
                return None
            raise
    check_declared(origin, sum(4 * math.prod(weight.shape) for weight in model.weights), size)
    return model


def _depths(part) -> Iterator[int]:
    """Yields the number of blocks of each model in a configuration."""
    if isinstance(part, dict) and isinstance(part.get("depth"), int):
        yield part["depth"]
    for inside in part.values() if isinstance(part, dict) else part:
        if isinstance(inside, (dict, list)):
            yield from _depths(inside)
