import keras
import numpy as np


def assert_close(actual, expected, atol, rtol=0.0):
    """`np.testing.assert_allclose` for tensors of any backend, in float64."""
    actual, expected = (keras.ops.convert_to_numpy(a).astype("float64") for a in (actual, expected))
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


def outputs(model, images):
    """The model's outputs as an array, without the time that `predict` takes to compile."""
    return keras.ops.convert_to_numpy(model(images, training=False))
