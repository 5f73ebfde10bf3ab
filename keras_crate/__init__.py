"""CRATE, the white-box transformer, in Keras 3."""

import importlib
from typing import TYPE_CHECKING

from keras_crate.backend import choose_backend

if TYPE_CHECKING:
    from keras_crate.hub.load import load

__version__ = "0.1.0"

# What a model does not need to run is imported when it is first named.
_ON_DEMAND = ("app", "data", "evaluation", "hub", "interpret", "objective", "training")
__all__ = [
    "app",
    "data",
    "evaluation",
    "hub",
    "interpret",
    "layers",
    "load",
    "models",
    "objective",
    "training",
]

_NO_BACKEND = choose_backend()
if _NO_BACKEND is None:
    from keras_crate import layers, models
    from keras_crate.compiled import (  # noqa: F401, saved models name them
        cosine_of_updates,
        labels,
        scaled_optimizers,
    )
    from keras_crate.models import *

    __all__ += models.__all__


def __getattr__(name: str):
    if _NO_BACKEND is not None and not name.startswith("_"):
        raise ImportError(_NO_BACKEND)
    if name in _ON_DEMAND:
        return importlib.import_module(f"{__name__}.{name}")
    if name == "load":
        return importlib.import_module(f"{__name__}.hub.load").load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
