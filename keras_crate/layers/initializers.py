"""The authors' initialisers of linear maps, which Keras does not have."""

import math

import keras


def linear_initializers(fan_in: int) -> dict:
    """Returns the initialisers of a linear map: uniform in `[-1/sqrt(fan_in), 1/sqrt(fan_in)]`.

    They are new objects at each call: weights that share a seeded initialiser would
    start equal.
    """
    bound = 1.0 / math.sqrt(fan_in)
    return {
        "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
        "bias_initializer": keras.initializers.RandomUniform(-bound, bound),
    }
