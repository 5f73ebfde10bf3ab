"""A hash of a model's weights."""

import hashlib
import re

import keras
import numpy as np


def fingerprint(model: keras.Model) -> str:
    """Returns the SHA-256 of a model's weights in float32, in the order of their paths."""
    digest = hashlib.sha256()
    weights = {weight.path: weight for weight in model.weights}
    for path in sorted(weights):
        if re.search("seed", path):
            continue
        digest.update(path.encode())
        values = keras.ops.convert_to_numpy(weights[path])
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()
