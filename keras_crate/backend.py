"""Which Keras backend to run on, decided before Keras is imported."""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def choose_backend() -> str | None:
    """Lets Keras start on a backend that is installed.

    The user's choice (`KERAS_BACKEND`, or Keras' configuration file) stands
    where that backend is installed. Where Keras would only fall back on one
    that is not, the first installed of JAX, TensorFlow and PyTorch is taken.

    Returns:
        None if Keras can be imported, otherwise what the user has to do.
    """
    if "keras" in sys.modules:
        return None
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if not installed:
        return "Keras needs a backend, and none is installed. Install one with: " + " or ".join(
            f"pip install {name}" for name in BACKENDS
        )
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:
        if wanted in BACKENDS and wanted not in installed:
            return (
                f"KERAS_BACKEND={wanted} is asked for, and {wanted} is not installed. Install it "
                f"with: pip install {wanted}, or set KERAS_BACKEND to one that "
                f"is: {', '.join(installed)}"
            )
        return None  # of a name it does not know Keras itself complains
    if _configured_backend() in set(BACKENDS) - set(installed):
        os.environ["KERAS_BACKEND"] = installed[0]
    return None


def keras_home() -> Path:
    """The folder of Keras' configuration and downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _configured_backend() -> str:
    try:
        return json.loads((keras_home() / "keras.json").read_text("utf8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"  # what Keras takes by default
