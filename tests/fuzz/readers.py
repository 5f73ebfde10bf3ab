"""The readers of files from strangers. To add one, add a line to `READERS`."""

import contextlib
import functools
import io
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
from fuzz.reader import Reader
from fuzz.small_readers import SMALL_READERS

import keras_crate
from keras_crate.hub.load_saved import load_saved
from keras_crate.hub.safety import check_keras_folder
from keras_crate.weights.assign import load_weights
from keras_crate.weights.tensor_files import WEIGHTS_FILE

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}


@functools.cache
def _model():
    return keras_crate.CRATE(8, 1, 2, **SMALL)


@functools.cache
def _tensors() -> dict:
    return keras_crate.hub.to_pytorch(_model())


def _written(name: str, write) -> list[bytes]:
    """The content of a file that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        return [path.read_bytes()]


def _safetensors() -> list[bytes]:
    return _written("a.safetensors", lambda path: keras_crate.hub.to_pytorch(_model(), path))


def _pth(**options):
    def seeds() -> list[bytes]:
        import torch

        tensors = {name: torch.from_numpy(array) for name, array in _tensors().items()}
        wrapped = {"state_dict": tensors, "epoch": 3, "optimizer": {"lr": 0.1}}
        files = []
        for content in (tensors, wrapped):
            file = io.BytesIO()
            torch.save(content, file, **options)
            files.append(file.getvalue())
        return files

    return seeds


def _npz() -> list[bytes]:
    files = []
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **{f"params/{name}": array for name, array in _tensors().items()})
        files.append(file.getvalue())
    return files


def _keras() -> list[bytes]:
    return _written("a.keras", _model().save)


def _hdf5() -> list[bytes]:
    # In the newer form too, which has other structures.
    def newer(path):
        _model().save_weights(path.with_name("b.weights.h5"))
        with (
            h5py.File(path.with_name("b.weights.h5")) as old,
            h5py.File(path, "w", libver="latest") as new,
        ):
            for name in old:
                old.copy(name, new)

    name = "a.weights.h5"
    return _written(name, _model().save_weights) + _written(name, newer)


def _config() -> list[bytes]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(_keras()[0])) as archive:
        return [archive.read("config.json")]


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _load(path: Path) -> None:
    with _quiet():
        load_weights(_model(), path)


def _from_checkpoint(path: Path) -> None:
    with _quiet():
        keras_crate.hub.from_checkpoint(path, heads=2)


def _make(path: Path) -> None:
    with _quiet():
        keras_crate.CRATE(8, 1, 2, **SMALL, weights=path)


def _load_folder(path: Path) -> None:
    _load(path.parent)


def _open_repository(path: Path) -> None:
    """As `pull`, without the process that reads the weights."""
    folder = path.parent
    if not (folder / WEIGHTS_FILE).exists():
        (folder / WEIGHTS_FILE).write_bytes(_hdf5()[0])
        (folder / "metadata.json").write_text("{}")
    with _quiet():
        check_keras_folder(folder, str(folder))
        load_saved(folder, str(folder))


# The HDF5 file inside a .keras file is read by this process: it stays as it is.
READERS = [
    Reader("safetensors", "a.safetensors", _safetensors, _load),
    Reader("safetensors_checkpoint", "b.safetensors", _safetensors, _from_checkpoint),
    Reader("pth", "a.pth", _pth(), _load),
    Reader("pth_checkpoint", "b.pth", _pth(), _from_checkpoint),
    Reader("pth_old", "old.pth", _pth(_use_new_zipfile_serialization=False), _load),
    Reader("npz", "a.npz", _npz, _from_checkpoint),
    Reader("keras", "a.keras", _keras, _make, kept=(WEIGHTS_FILE,)),
    Reader("hdf5", f"repository/{WEIGHTS_FILE}", _hdf5, _load_folder),
    Reader("config", "described/config.json", _config, _open_repository),
    *SMALL_READERS,
]
