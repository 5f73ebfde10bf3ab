"""Labelled images in files of arrays: MNIST's IDX files, or one `.npz` file."""

import gzip
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_crate.checks import some_names
from keras_crate.data.class_folders import class_folders
from keras_crate.data.image_sources import ArraySource

# The names of images and labels of a split, in IDX files and in `.npz` files.
_IDX = ("{}-images-idx3-ubyte", "{}-labels-idx1-ubyte")
_IDX_SPLITS = {"train": "train", "test": "t10k"}
_NPZ = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))  # of Keras' mnist.npz; of MedMNIST
_NPZ_SPLITS = {"train": "train", "validation": "val", "test": "test"}
_UNSIGNED_BYTE = 8  # the code of the type in an IDX file


def is_array_data(path: Path) -> bool:
    """Whether a path is a `.npz` file, or a folder with MNIST's IDX files or `.npz` files.

    A folder that has folders and `.npz` files holds files of images, not arrays.
    """
    if os.path.isfile(path):
        return path.suffix == ".npz"
    return _has_idx_files(path) or (
        os.path.isdir(path) and any(path.glob("*.npz")) and not class_folders(path)
    )


def read_array_data(path: Path) -> dict[str, ArraySource]:
    """Reads the images of each split: `"train"`, and possibly `"validation"` and `"test"`."""
    if path.is_file():
        return _read_npz(path)
    if _has_idx_files(path):
        return _read_idx_files(path)
    first, *others = sorted(path.glob("*.npz"))
    if others:
        raise ValueError(
            f"{path} must have one .npz file. Received: {1 + len(others)}. Pass one of them, such "
            f"as {first}"
        )
    return _read_npz(first)


def _has_idx_files(folder: Path) -> bool:
    return any(_idx_file(folder, name.format("train")) for name in _IDX)


def _read_idx_files(folder: Path) -> dict[str, ArraySource]:
    sources = {}
    for split, word in _IDX_SPLITS.items():
        names = [name.format(word) for name in _IDX]
        files = [_idx_file(folder, name) for name in names]
        if split != "train" and files == [None, None]:
            continue
        for file, name in zip(files, names, strict=True):
            if file is None:
                raise ValueError(f"{folder} has no file {name} or {name}.gz.")
        images, labels = map(_read_idx, files)
        sources[split] = _source(images, labels, files[0])
    return sources


def _idx_file(folder: Path, name: str) -> Path | None:
    files = (folder / name, folder / f"{name}.gz")
    return next((file for file in files if os.path.isfile(file)), None)


def _read_idx(file: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes: a header with the shape, then the values."""
    try:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
        zeros, kind, dimensions = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
    except (EOFError, OSError, zlib.error, struct.error) as error:
        raise ValueError(f"{file} is broken ({error}). Download it again.") from error
    if zeros or kind != _UNSIGNED_BYTE or dimensions not in (1, 3) or 0 in shape:
        raise ValueError(f"{file} must be an IDX file of images or labels in bytes. It is not.")
    values = np.frombuffer(data, "uint8", offset=4 + 4 * dimensions)
    if values.size != math.prod(shape):
        raise ValueError(
            f"{file} is broken: it must have {'x'.join(map(str, shape))} values. Received: "
            f"{values.size:,}. Download it again."
        )
    return values.reshape(shape)


def _read_npz(file: Path) -> dict[str, ArraySource]:
    try:
        if not zipfile.is_zipfile(file):
            raise zipfile.BadZipFile("it is not a zip file")
        arrays = np.load(file, allow_pickle=False)  # no code of a file is run
    except Exception as error:  # of zip and NumPy, of many kinds
        raise ValueError(f"{file} is broken ({error}). Download it again.") from error
    with arrays:
        return _sources(arrays, file)


def _sources(arrays: Mapping, file: Path) -> dict[str, ArraySource]:
    """The images of each split in an open `.npz` file."""
    pair = next((pair for pair in _NPZ if pair[0].format("train") in arrays), None)
    if pair is None:
        raise ValueError(
            f"{file} must have the arrays x_train, y_train or train_images, train_labels. "
            f"Received: {some_names(arrays)}"
        )
    sources = {}
    for split, word in _NPZ_SPLITS.items():
        names = [name.format(word) for name in pair]
        if any(name in arrays for name in names):
            images, labels = (_array(arrays, name, file) for name in names)
            sources[split] = _source(images, labels, file)
    return sources


def _array(arrays: Mapping, name: str, file: Path) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"{file} has no array {name}. Received: {some_names(arrays)}")
    try:
        found = arrays[name]
    except Exception as error:  # of zip, compression and NumPy, each of its own classes
        raise ValueError(f"The array {name} in {file} cannot be read: {error}") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"The array {name} in {file} cannot be read: it is not an array of NumPy.")
    return found


def _source(images: np.ndarray, labels: np.ndarray, file: Path) -> ArraySource:
    """The images as a source. Grey ones may lack the axis of channels."""
    try:
        return ArraySource(images[..., np.newaxis] if images.ndim == 3 else images, labels)
    except ValueError as error:
        raise ValueError(f"{file} cannot be used. {error}") from error
