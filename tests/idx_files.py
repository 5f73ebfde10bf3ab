"""Writes IDX files as those of MNIST."""

import gzip
import struct

import numpy as np

NAMES = {"train": "train", "test": "t10k"}


def idx(values) -> bytes:
    """Unsigned bytes as an IDX file holds them."""
    values = np.asarray(values, "uint8")
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_idx(folder, split, count, ending="", size=(4, 3)):
    """Writes images of a size, and labels of 2 classes."""
    pixels = np.arange(count * size[0] * size[1])
    files = {
        f"{NAMES[split]}-images-idx3-ubyte": pixels.reshape(count, *size),
        f"{NAMES[split]}-labels-idx1-ubyte": np.arange(count) % 2,
    }
    for name, values in files.items():
        data = gzip.compress(idx(values)) if ending else idx(values)
        (folder / f"{name}{ending}").write_bytes(data)
