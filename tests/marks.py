"""Which tests run by default where."""

import importlib.util

import keras
import pytest

TORCH = keras.backend.backend() == "torch"


# JAX and TensorFlow compile, or start, for longer than PyTorch takes to run it: there it is
# with the slow proofs.
COMPILES_LONG = () if TORCH else (pytest.mark.slow,)


def compiles_long(test):
    """Marks a test by `COMPILES_LONG`."""
    return test if TORCH else pytest.mark.slow(test)


needs_int8_configurations = pytest.mark.skipif(
    not hasattr(keras.quantizers, "Int8QuantizationConfig"), reason="the file's Keras was newer"
)


def torch_compiles_long(test):
    """Marks a test for which PyTorch has a compiler start, and JAX and TensorFlow do not."""
    return pytest.mark.slow(test) if TORCH else test


without_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is not None, reason="PyTorch is installed here"
)


def those_of_pytorch(files):
    """Names of files, those of PyTorch with a mark that it is needed."""
    return [pytest.param(n, marks=needs("torch")) if n.endswith(".pth") else n for n in files]


def needs(*modules):
    """For tests of tools that only some environments have."""
    names = dict.fromkeys(name.partition(".")[0] for name in modules)
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")
