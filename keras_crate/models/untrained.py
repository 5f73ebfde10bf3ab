"""Whether a model's weights are initial values."""

import keras
import numpy as np

from keras_crate.keras_internals import parts_of


def is_untrained(model: keras.Model) -> bool:
    """Whether every normalisation of a model still has its initial values.

    Training moves the scales and offsets of normalisations in its first step, and
    loaded weights bring those of a training. A model without them is taken for
    trained.
    """
    norms = [
        layer
        for layer in parts_of(model)
        if isinstance(layer, keras.layers.LayerNormalization) and layer.weights
    ]
    return bool(norms) and all(map(_is_initial, norms))


def _is_initial(norm: keras.layers.LayerNormalization) -> bool:
    scale, offset = norm.gamma, norm.beta
    return (scale is None or np.all(keras.ops.convert_to_numpy(scale) == 1)) and (
        offset is None or np.all(keras.ops.convert_to_numpy(offset) == 0)
    )
