"""The authors' initialisers of linear maps, which Keras does not have."""

import math

import keras


def linear_initializers(fan_in: int) -> dict:
    """Returns the initialisers of a linear map: uniform in `[-1/sqrt(fan_in), 1/sqrt(fan_in)]`.

    Args:
        fan_in: Number of inputs of the map.

    Returns:
        Keyword arguments for `keras.layers.Dense`: new objects at each call,
        since weights that share a seeded initialiser would start equal.
    """
    bound = 1.0 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }
