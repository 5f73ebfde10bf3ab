"""Saves models with their weights in half precision (float16): half the size of the file."""

import json
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_crate.files import written_whole

STORED = ("float16",)  # besides the dtype of the model
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


def in_half(values: np.ndarray) -> np.ndarray:
    """Returns an array in float16 if it has floats of more bits, else the array."""
    return values.astype("float16") if values.dtype in ("float32", "float64") else values


def check_range(model: keras.Model) -> None:
    """Refuses weights that are beyond the largest number of float16, 65504."""
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        with np.errstate(over="ignore"):
            lost = np.isfinite(values) & ~np.isfinite(in_half(values))
        if lost.any():
            raise ValueError(
                f"The weight {weight.path} has values that float16 cannot hold: "
                f"{values[lost][0]:g}. The largest is 65504. Store the model in float32."
            )


def save_in_half(model: keras.Model, path: Path) -> None:
    """Saves a model to a `.keras` file that holds its weights in float16.

    The file loads on every backend, as the same model: its dtype does not
    change, and its weights are rounded to float16 (11 significant bits). The
    optimizer, loss and metrics are left out.
    """
    check_range(model)
    with written_whole(path) as unfinished, tempfile.TemporaryDirectory() as folder:
        whole, weights = Path(folder, path.name), Path(folder, _WEIGHTS)
        model.save(whole)
        with zipfile.ZipFile(whole) as full, zipfile.ZipFile(unfinished, "w") as half:
            for name in full.namelist():
                content = full.read(name)
                if name == _CONFIG:
                    config = json.loads(content)
                    config.pop("compile_config", None)
                    content = json.dumps(config)
                elif name == _WEIGHTS:
                    full.extract(name, folder)
                    content = _halved(weights)
                half.writestr(name, content)


def _halved(file: Path) -> bytes:
    """Returns the content of an HDF5 file in float16, without the optimizer's state."""
    halved = file.with_suffix(".half")
    # The newer form of groups takes a tenth of the space.
    with h5py.File(file, "r") as full, h5py.File(halved, "w", libver=("v110", "v110")) as half:
        _copy(full, half, but=("optimizer",))
    return halved.read_bytes()


def _copy(full: h5py.Group, half: h5py.Group, but: tuple[str, ...] = ()) -> None:
    half.attrs.update(full.attrs)
    for name, item in full.items():
        if name in but:
            continue
        if isinstance(item, h5py.Group):
            _copy(item, half.create_group(name))
        else:
            half.create_dataset(name, data=in_half(item[()])).attrs.update(item.attrs)
