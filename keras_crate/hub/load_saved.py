"""Loads models that Keras saved, if they are no larger than their file can be."""

import math
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras

from keras_crate.keras_internals import needs_values, variables_without_values
from keras_crate.reading import parse_json
from keras_crate.weights.damaged import Refused, check_declared
from keras_crate.weights.tensor_files import WEIGHTS_FILE
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
    try:
        _check_size(path, origin)
        return keras.saving.load_model(path, compile=compile, safe_mode=True)
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
    """Compares the model that a configuration describes with the size of its weights."""
    if path.is_dir():
        text, size = (path / "config.json").read_bytes(), (path / WEIGHTS_FILE).stat().st_size
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_unpacked(archive, origin)
            text, size = archive.read("config.json"), os.path.getsize(path)
    else:  # Keras' older format
        return
    config = parse_json(text, f"The config.json of {origin}", has={"config": dict})
    blocks = sum(_depths(config))
    check_declared(origin, blocks * _SMALLEST_BLOCK, size)
    with warnings.catch_warnings(), variables_without_values():
        warnings.simplefilter("ignore")  # they come when the model itself is made
        try:
            model = keras.saving.deserialize_keras_object({**config, "compile_config": None})
        except Exception as error:
            if needs_values(error):  # a layer of the user's: no other is made so
                return
            raise
    check_declared(origin, sum(4 * math.prod(weight.shape) for weight in model.weights), size)


def _depths(part) -> Iterator[int]:
    """Yields the number of blocks of each model in a configuration."""
    if isinstance(part, dict) and isinstance(part.get("depth"), int):
        yield part["depth"]
    for inside in part.values() if isinstance(part, dict) else part:
        if isinstance(inside, (dict, list)):
            yield from _depths(inside)
