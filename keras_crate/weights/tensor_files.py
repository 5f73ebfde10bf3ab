"""Tensors from files of any published form. No code from a file is ever run."""

import argparse
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_crate.extras import needed

# What trainers call the weights that they save beside an optimizer and the like.
_WRAPPERS = ("state_dict", "model", "net", "params")
# What wrapped models put before each name.
_PREFIXES = ("module.", "_orig_mod.")
CHECKPOINT_ENDINGS = (".pth", ".pt", ".tar", ".npz", ".safetensors", "")
_FORMS = (
    "PyTorch (.pth, .pt, .pth.tar, or no extension), .safetensors, or a NumPy archive of JAX "
    "parameters (.npz)"
)


def check_readable(name: str) -> None:
    """Refuses a file that cannot be read here, before it is downloaded.

    Raises:
        ImportError: If it is PyTorch's and PyTorch is not installed.
    """
    if not name.endswith((".npz", ".safetensors")):
        with needed("torch", f"Converting {Path(name).name}, a file of PyTorch, needs"):
            import torch  # noqa: F401


def read_tensors(source: str | os.PathLike | Mapping) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name, as float arrays.

    The weights may stand plainly, or under `state_dict`, `model`, `net` or
    `params` beside an optimizer's state and whatever a trainer saves; with or
    without `module.` before their names.

    Args:
        source: Path of a file, or what one holds: a dictionary of tensors of
            any library, or one that has such a dictionary inside.

    Returns:
        Arrays in float32, or float64 where they were.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, holds anything that would need code to be
            run, or no tensors.
        ImportError: If it is PyTorch's and PyTorch is not installed.
    """
    if isinstance(source, Mapping):
        content, origin = source, "The dictionary"
    else:
        content, origin = _read(Path(source)), str(source)
    tensors = _unwrapped(content)
    for prefix in _PREFIXES * 2:  # in any order
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    if not tensors:
        raise ValueError(
            f"{origin} holds no tensors, neither at its top nor under any of "
            f"{', '.join(_WRAPPERS)}. It has: {', '.join(map(str, list(content)[:8])) or 'nothing'}"
        )
    return {name: _array(name, value) for name, value in tensors.items()}


def _read(path: Path) -> Mapping:
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}. It may be one of {_FORMS}.")
    with path.open("rb") as file:
        start = file.read(10)
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            if names and all(name.endswith(".npy") for name in names):
                with np.load(path, allow_pickle=False) as arrays:
                    return {name: arrays[name] for name in arrays.files if _wanted(name)}
            if any(name.endswith("/data.pkl") for name in names):
                return _read_torch(path)
            raise ValueError(f"{path} is a zip archive of another kind. A checkpoint is {_FORMS}.")
        if start[:1] == b"\x80":  # PyTorch's format before version 1.6
            return _read_torch(path)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(f"The checkpoint {path} is truncated or damaged ({error}).") from error
    raise ValueError(f"{path} is no checkpoint that can be read. It may be one of {_FORMS}.")


def _wanted(name: str) -> bool:
    """Whether an entry of a JAX archive is a parameter: others may need pickle to be read."""
    return not name.startswith(("opt/", "chrono/"))


def _read_safetensors(path: Path) -> Mapping:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"The checkpoint {path} is truncated or damaged ({error}).") from error


def _read_torch(path: Path) -> Mapping:
    check_readable(path.name)
    import torch

    try:
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling raises errors of many kinds
        # PyTorch's own words advise to load with code after all: they are not passed on.
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        reason = (
            "it holds objects other than tensors and plain values, which only code that comes "
            "with the file could make, and such code is never run. Ask its owner for the state "
            "dict alone, or for a .safetensors file"
            if unsafe
            else "it is truncated or damaged: copy or download it again"
        )
        raise ValueError(f"The checkpoint {path} cannot be read: {reason}.") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors.")
    return content


def _harmless() -> list[type]:
    """What trainers put beside tensors, and holds values alone: arguments and NumPy's numbers."""
    numbers = [np.dtype(name) for name in ("float32", "float64", "int32", "int64", "bool")]
    scalar = np.float64(0).__reduce__()[0]
    # NumPy moved it: files tell of its place by the version that wrote them.
    places = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [argparse.Namespace, np.dtype, *map(type, numbers), *places]


def _unwrapped(content: Mapping) -> dict:
    """The dictionary of tensors, wherever it is."""
    for key in _WRAPPERS:
        inside = content.get(key)
        if isinstance(inside, Mapping) and (tensors := _unwrapped(inside)):
            return tensors
    flat = _flattened(content)
    inside = {k[7:]: v for k, v in flat.items() if k.startswith("params/")}
    return inside or flat


def _flattened(content: Mapping, prefix: str = "") -> dict:
    """The tensors, those of nested dictionaries (a JAX tree) by `/` between the names."""
    tensors = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            tensors |= _flattened(value, f"{prefix}{name}/")
        elif isinstance(name, str) and getattr(value, "shape", None) is not None:
            tensors[prefix + name] = value
    return tensors


def _array(name: str, value) -> np.ndarray:
    if hasattr(value, "detach"):  # a tensor of PyTorch, perhaps of bfloat16, which NumPy lacks
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.dtype.kind == "V" and array.dtype.itemsize == 2:  # bfloat16, as NumPy stores it
        import ml_dtypes

        array = array.view(ml_dtypes.bfloat16)
    if array.dtype == np.float64:
        return array
    if array.dtype.kind not in "fV":
        raise ValueError(
            f"The tensor {name} has numbers of type {array.dtype}, where weights are floats."
        )
    return array.astype("float32")
