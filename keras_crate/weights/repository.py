"""The files of a published model, and its weights without HDF5 where safetensors has them."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_crate.weights.hdf5 import Refused
from keras_crate.weights.hub_files import (
    Address,
    check_has_model,
    download_file,
    download_model,
    in_cache,
)
from keras_crate.weights.recognise import recognise
from keras_crate.weights.tensor_files import (
    AUTHORS_FILE,
    WEIGHTS_FILE,
    TensorFile,
    open_tensors,
    read_config,
)


class Repository(NamedTuple):
    """A published model's files. Those of the Hub are downloaded where they are needed.

    Attributes:
        folder: The folder with the files.
        origin: What to call it in messages.
        commit: The repository on the Hub and its commit, or None for a folder of the user's.
    """

    folder: Path
    origin: str
    commit: Address | None = None

    def hdf5(self) -> Path:
        """Returns the file of all variables in HDF5.

        Raises:
            FileNotFoundError: If there is none.
            OSError, ValueError: If it cannot be downloaded, or is not what the Hub states.
        """
        if self.commit is not None:
            download_file(self.commit, WEIGHTS_FILE, optional=True)
        check_has_model(self.folder, self.origin)
        return self.folder / WEIGHTS_FILE

    def safetensors(self) -> TensorFile | None:
        """Returns the weights in safetensors, by the paths of variables.

        Returns:
            An open file, with the same values and facts as the HDF5 file of a model without
            registers, adapters, quantised layers or layers of the user's. None if there is no
            such file, it does not have the authors' layout, or the model's numbers are float64.

        Raises:
            Refused: If the file is damaged.
            OSError, ValueError: If it cannot be downloaded, or is not what the Hub states.
        """
        path = self.folder / AUTHORS_FILE
        # If the cache has HDF5 alone, that is read: nothing need be downloaded.
        if self.commit is not None and (path.exists() or not in_cache(self.commit, WEIGHTS_FILE)):
            download_file(self.commit, AUTHORS_FILE, optional=True)
        if not path.is_file():
            return None
        try:
            with open_tensors(path, f"{self.origin}/{AUTHORS_FILE}") as file:
                found = recognise(file.tensors, file.origin)
        except Refused:
            raise
        except ValueError:  # a file of another program
            return None
        config = read_config(self.folder)
        if "float64" in str(config.get("dtype")):  # the copy has float32
            return None
        heads, grid = config.get("heads"), _grid(config)
        if not isinstance(heads, int) or heads < 1:
            return None
        if math.prod(grid) + 1 != found.size.positions:
            return None
        facts = {f"block_{index}_mssa/heads": heads for index in range(found.size.depth)}
        facts["token_embedding/grid"] = grid
        return TensorFile(self.origin, found.variables(), facts, config, is_keras=True)


def repository_on_hub(address: Address) -> Repository:
    """Downloads a published model's files but for its weights, unless they are in the cache.

    Raises:
        FileNotFoundError: If there is no such repository or revision, or no Keras model in it.
        OSError, ValueError: If a file cannot be downloaded, or is not what the Hub states.
    """
    folder, commit = download_model(address)
    return Repository(folder, f"{commit._replace(revision=folder.name[:12])}", commit)


def _grid(config: dict) -> tuple[int, ...]:
    """Rows and columns of the positions that a configuration describes, or () if none."""
    shape, first = config.get("input_shape"), config.get("data_format") == "channels_first"
    try:
        if config.get("grid") is not None:
            return tuple(map(int, config["grid"]))
        sides, patch = shape[1:] if first else shape[:2], np.broadcast_to(config["patch_size"], 2)
        return tuple(int(n) // int(pixels) for n, pixels in zip(sides, patch, strict=True))
    except (TypeError, ValueError, KeyError, ArithmeticError):  # anyone may have written it
        return ()
