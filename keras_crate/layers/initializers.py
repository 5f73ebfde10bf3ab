"""Initial values of the authors' linear maps, which Keras has no name for."""

import math

import keras


def linear_initializers(fan_in: int) -> dict:
    """Kernel and bias initialisers of a linear map with `fan_in` inputs.

    Both draw uniformly from `[-1/sqrt(fan_in), 1/sqrt(fan_in)]`, as the
    authors' maps do. New objects at each call: two weights that share a seeded
    Keras initialiser would start equal.

    Args:
        fan_in: Number of inputs of the map.

    Returns:
        Keyword arguments for `keras.layers.Dense`.
    """
    bound = 1.0 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }
