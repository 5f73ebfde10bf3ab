"""Weights files of any format, as arrays by name.

Opening a file reads names, shapes and dtypes only. Each array is read when it is
used, so that memory holds one at a time. No code from a file is ever run.
"""

import contextlib
import dataclasses
import functools
import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from keras_crate.checks import some_names
from keras_crate.extras import needed
from keras_crate.reading import parse_json, read_json
from keras_crate.weights.damaged import check_declared, damage_named, damaged
from keras_crate.weights.hdf5 import Refused, hard_linked
from keras_crate.weights.hdf5_process import clean_copy
from keras_crate.weights.zip_member import check_unpacked, open_member

FORMATS = (
    "a file of Keras (.keras, .weights.h5), of PyTorch (.pth, .pt, .pth.tar, or no extension), "
    ".safetensors, or JAX parameters (.npz)"
)
WEIGHTS_FILE = "model.weights.h5"
KERAS_FILES = ("config.json", "metadata.json", WEIGHTS_FILE)
AUTHORS_FILE = "model.safetensors"  # a copy of the weights in the authors' layout
# Keys under which training programs save the weights, beside an optimizer's state.
_WRAPPERS = ("state_dict", "model", "net", "params")
# Shapes of what layers of ours store beside their weights.
_FACTS = {"heads": (), "grid": (2,)}
# Prefixes that PyTorch's wrappers of models put before each name.
_PREFIXES = ("module.", "_orig_mod.")
_LONGEST_NAME = 200
_HDF5 = b"\x89HDF\r\n\x1a\n"


class Tensor(NamedTuple):
    """One array of a file."""

    shape: tuple[int, ...]
    dtype: str  # its name, such as "float32"
    read: Callable[[], np.ndarray]  # in float64 if it is stored so, else in float32


@dataclasses.dataclass(frozen=True)
class TensorFile:
    """An open file, and what to call it in messages."""

    origin: str
    # By `layer/index` or `layer/sublayer/index` in a file of Keras, else by the authors' names.
    tensors: dict[str, Tensor]
    # What layers store besides weights in a file of Keras, such as {"block_0_mssa/heads": 4}.
    facts: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    config: dict = dataclasses.field(default_factory=dict)  # of the model, in a file of Keras
    is_keras: bool = False


@contextlib.contextmanager
def open_tensors(source: str | os.PathLike | Mapping, origin: str | None = None):
    """Opens a weights file of any format as a `TensorFile`, for a `with` statement.

    `source` is a file; a folder that holds an unpacked `.keras` file; or a dictionary
    of tensors of any library, or one that has such a dictionary inside.
    """
    if isinstance(source, Mapping):
        origin = origin or "the dictionary"
        yield TensorFile(origin, _tensors_in(source, origin))
        return
    path = Path(source)
    origin = origin or str(path)
    with contextlib.ExitStack() as stack:
        with damage_named(origin):
            file = _open(path, origin, stack)
            _check_names(file.tensors, origin)
            holds = path / WEIGHTS_FILE if path.is_dir() else path
            numbers = sum(math.prod(tensor.shape) for tensor in file.tensors.values())
            check_declared(origin, 4 * numbers, holds.stat().st_size)
        tensors = {k: _with_damage_named(t, origin) for k, t in file.tensors.items()}
        yield dataclasses.replace(file, tensors=tensors)


def read_config(path: Path) -> dict:
    """Returns the model's configuration in a `.keras` file or folder; `{}` if there is none."""
    try:
        if path.is_dir():
            return read_json(path / "config.json", has={"config": dict})["config"]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_unpacked(archive, str(path))
                text = archive.read("config.json")
            return parse_json(text, path, has={"config": dict})["config"]
        return {}
    except Exception:  # of zip, compression and JSON, each of its own classes
        return {}  # the error comes when the weights are read


def needs_pytorch(name: str) -> bool:
    """Whether a file of this name needs PyTorch to be read."""
    return not name.endswith((".npz", ".safetensors", ".keras", ".h5"))


def check_readable(name: str) -> None:
    """Refuses a file that cannot be read here, before it is downloaded."""
    if needs_pytorch(name):
        _pytorch(name)


def _pytorch(name: str):
    with needed("torch", f"Reading {Path(name).name}, a file of PyTorch, needs"):
        import torch
    return torch


def _open(path: Path, origin: str, stack: contextlib.ExitStack) -> TensorFile:
    if os.path.isdir(path):
        weights = path / WEIGHTS_FILE
        if not weights.is_file():
            raise FileNotFoundError(f"The folder {origin} has no file {WEIGHTS_FILE}.")
        weights = stack.enter_context(clean_copy(weights, origin))
        return _keras(stack.enter_context(h5py.File(weights, "r")), path, origin, (weights, 0))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"There is no weights file at {path}. It can be {FORMATS}.")
    with path.open("rb") as file:
        start = file.read(8)
    if path.suffix == ".safetensors":
        return TensorFile(origin, _safetensors(path, origin))
    if start == _HDF5:
        return _keras(stack.enter_context(h5py.File(path, "r")), path, origin, (path, 0))
    if start[:4] == b"PK\x03\x04":
        return _zip(path, origin, stack)
    if start[:1] == b"\x80":  # PyTorch's format before version 1.6
        return TensorFile(origin, _tensors_in(_torch(path), origin))
    raise Refused(f"{origin} is not a weights file. It can be {FORMATS}.")


def _zip(path: Path, origin: str, stack: contextlib.ExitStack) -> TensorFile:
    archive = stack.enter_context(zipfile.ZipFile(path))
    check_unpacked(archive, origin)
    names = archive.namelist()
    if WEIGHTS_FILE in names:
        weights, *place = open_member(archive, WEIGHTS_FILE, stack)
        return _keras(stack.enter_context(h5py.File(weights, "r")), path, origin, place)
    if names and all(name.endswith(".npy") for name in names):
        # These entries of a JAX archive, an optimizer's state and clock, may need pickle.
        wanted = [name for name in names if not name.startswith(("opt/", "chrono/"))]
        tensors = {name.removesuffix(".npy"): _npy(archive, name) for name in wanted}
        return TensorFile(origin, _renamed(tensors, origin))
    if any(name.endswith("/data.pkl") for name in names):
        return TensorFile(origin, _tensors_in(_torch(path, mmap=True), origin))
    raise Refused(f"{origin} is a zip archive without weights. A weights file can be {FORMATS}.")


def _keras(file: h5py.File, path: Path, origin: str, place) -> TensorFile:
    """Reads an HDF5 file of Keras: `layers/GROUP/vars/INDEX`, the layer's name in `vars`.

    `place` is the path of the file that holds the HDF5 file's bytes, and the first of them.
    """
    if "layers" not in file:
        raise Refused(f"{origin} is an HDF5 file without layers of Keras.")
    tensors, facts = {}, {}
    for group in hard_linked(file["layers"], origin):
        if "layers" in group:
            raise Refused(
                f"{origin} holds a model inside another. Load it with `keras.saving.load_model`, "
                "take the model inside with `get_layer`, and save that."
            )
        layer = group["vars"].attrs["name"]
        for part in hard_linked(group, origin):
            name = part.name.rpartition("/")[2]
            if name == "seed_generator":  # the state of dropout is not a weight
                continue
            prefix = layer if name == "vars" else f"{layer}/{name}"
            variables = part if name == "vars" else part.get("vars", {})
            for dataset in hard_linked(variables, origin):
                key = dataset.name.rpartition("/")[2]
                if key.isdigit():
                    tensors[f"{prefix}/{key}"] = _dataset(dataset, *place)
                elif dataset.shape == _FACTS.get(key) and dataset.dtype.kind in "iu":
                    facts[f"{prefix}/{key}"] = dataset[()]
    return TensorFile(origin, tensors, facts, read_config(path), is_keras=True)


def _dataset(dataset: h5py.Dataset, path: Path, start: int) -> Tensor:
    """Reads an array of an HDF5 file from its place, which is faster than HDF5."""
    offset = dataset.id.get_offset()
    if offset is None:  # it is in chunks, or compressed
        return _lazy(dataset, dataset.dtype)
    shape, dtype = dataset.shape, dataset.dtype

    def read():
        values = np.fromfile(path, dtype, math.prod(shape), offset=start + offset)
        return values.reshape(shape)

    return Tensor(shape, _dtype_name(dtype), _reader(read))


def _safetensors(path: Path, origin: str) -> dict[str, Tensor]:
    import ml_dtypes  # noqa: F401  (NumPy then has bfloat16, which safetensors asks it for)
    from safetensors import safe_open

    def read(name: str) -> np.ndarray:
        # Opened for each array: an open file keeps all that was read in memory.
        with safe_open(path, framework="np") as file:
            return file.get_tensor(name)

    tensors = {}
    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 (it is not a mapping)
            part = file.get_slice(name)
            dtype = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
            dtype = dtype.get(part.get_dtype(), part.get_dtype())
            array = _reader(functools.partial(read, name))
            tensors[name] = Tensor(tuple(part.get_shape()), dtype, array)
    return _renamed(tensors, origin)


def _npy(archive: zipfile.ZipFile, name: str) -> Tensor:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        headers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in headers:
            raise Refused(f"{archive.filename} has an array of an unknown version: {name}.")
        shape, _, dtype = headers[version](file)
    if dtype.hasobject:
        raise Refused(
            f"{archive.filename} holds Python objects ({name}), which only pickle could read. "
            "Pickle would run code from the file, so nothing was loaded."
        )

    def read():
        return np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)

    kind = "bfloat16" if dtype.kind == "V" and dtype.itemsize == 2 else dtype.name
    return Tensor(shape, kind, _reader(read))


def _torch(path: Path, mmap: bool | None = None) -> Mapping:
    torch = _pytorch(path.name)
    try:
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # unpickling raises errors of many kinds
        # PyTorch's message advises to run the file's code, so it is not shown.
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise Refused(
                f"{path} holds objects other than tensors and plain values. Loading them would run "
                "code from the file, so nothing was loaded. Ask the file's owner for the state "
                "dict alone, or for a .safetensors file."
            ) from None
        raise damaged(str(path), type(error).__name__) from None
    if not isinstance(content, Mapping):
        raise Refused(f"{path} holds a {type(content).__name__}, not a dictionary of tensors.")
    return content


def _harmless() -> list:
    """Types that training programs save beside tensors, and that only hold values."""
    import argparse

    numbers = [np.dtype(name) for name in ("float32", "float64", "int32", "int64", "bool")]
    scalar = np.float64(0).__reduce__()[0]
    # NumPy moved this function. A file has the module of the NumPy that wrote it.
    places = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, np.dtype, *map(type, numbers), *places]


def _tensors_in(content: Mapping, origin: str) -> dict[str, Tensor]:
    """Finds the tensors in a dictionary, at its top or under a key of `_WRAPPERS`."""
    values = _unwrapped(content)
    for name, value in values.items():
        if hasattr(value, "layout") and hasattr(value, "detach"):  # a tensor of PyTorch
            others = [k for k in ("is_meta", "is_quantized", "is_nested") if getattr(value, k, 0)]
            if others or "strided" not in str(value.layout):
                raise Refused(
                    f"{origin} holds a tensor that is not a plain array of numbers ({name}: "
                    f"{', '.join([str(value.layout), *others])}). Save dense tensors. Nothing was "
                    "loaded."
                )
    found = {name: _lazy(value, value.dtype) for name, value in values.items()}
    if not found:
        raise Refused(
            f"{origin} holds no tensors, neither at its top nor under any of "
            f"{', '.join(_WRAPPERS)}. It has: {some_names(content)}"
        )
    return _renamed(found, origin)


def _unwrapped(content: Mapping) -> dict:
    for key in _WRAPPERS:
        inside = content.get(key)
        if isinstance(inside, Mapping) and (tensors := _unwrapped(inside)):
            return tensors
    return _flattened(content)


def _flattened(content: Mapping, prefix: str = "") -> dict:
    """The tensors of a dictionary. Names in a nested one (a JAX tree) are joined by `/`."""
    tensors = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            tensors |= _flattened(value, f"{prefix}{name}/")
        elif isinstance(name, str) and getattr(value, "shape", None) is not None:
            tensors[prefix + name] = value
    return tensors


def _renamed(tensors: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Removes the prefixes of PyTorch's wrappers and of a JAX archive's parameters."""
    parameters = {k.removeprefix("params/"): v for k, v in tensors.items() if "params/" in k[:7]}
    tensors = parameters or tensors
    for prefix in _PREFIXES * 2:  # in any order
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if not tensors:
        raise Refused(f"{origin} holds no tensors.")
    return tensors


def _check_names(names, origin: str) -> None:
    """Refuses names that no message could quote."""
    for name in names:
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise Refused(
                f"{origin} holds a tensor whose name is longer than {_LONGEST_NAME} characters or "
                f"not printable: {name[:40]!r}. Nothing was loaded."
            )


def _with_damage_named(tensor: Tensor, origin: str) -> Tensor:
    def read() -> np.ndarray:
        with damage_named(origin):
            return tensor.read()

    return tensor._replace(read=read)


def _lazy(value, dtype) -> Tensor:
    """Wraps an array of any library that has a shape and a dtype."""

    def read():
        if not hasattr(value, "detach"):
            return value[()] if isinstance(value, h5py.Dataset) else np.asarray(value)
        tensor = value.detach().cpu()  # of PyTorch; NumPy has no bfloat16
        return (tensor.float() if tensor.is_floating_point() else tensor).numpy()

    return Tensor(tuple(value.shape), _dtype_name(dtype), _reader(read))


def _dtype_name(dtype) -> str:
    name = str(dtype).removeprefix("torch.")
    return "bfloat16" if name in ("|V2", "void16") else name  # NumPy stores it as bytes


def _reader(read: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def array() -> np.ndarray:
        values = np.asarray(read())
        if values.dtype.kind == "V" and values.dtype.itemsize == 2:
            import ml_dtypes

            values = values.view(ml_dtypes.bfloat16)
        return values if values.dtype in ("float32", "float64") else values.astype("float32")

    return array
