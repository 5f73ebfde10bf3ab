"""Which tests run by default where."""

import importlib.util

import keras
import pytest

TORCH = keras.backend.backend() == "torch"


def compiles_long(test):
    """JAX and TensorFlow compile, or start, for longer than PyTorch takes to run it.

    There it is with the slow proofs.
    """
    return test if TORCH else pytest.mark.slow(test)


# Its processes do not import Keras: it is the same under every backend.
without_backend = pytest.mark.skipif(
    not TORCH, reason="no backend takes part: the tests under PyTorch run it"
)

without_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here"
)
