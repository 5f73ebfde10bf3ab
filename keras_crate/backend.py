"""Chooses the Keras backend, before Keras is imported."""

import importlib.util
import os
import sys
from pathlib import Path

from keras_crate.reading import read_json

BACKENDS = ("jax", "tensorflow", "torch")
_ONLY_INFERENCE = ("numpy", "openvino")  # other backends of Keras, which it imports itself


def choose_backend() -> str | None:
    """Lets Keras start on a backend that is installed. Returns an error message if it cannot.

    The user's choice (`KERAS_BACKEND`, or Keras' configuration file) is kept if that
    backend is installed. If Keras would fall back on a backend that is not installed,
    the first installed one of JAX, TensorFlow and PyTorch is chosen.
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
        if wanted in (*installed, *_ONLY_INFERENCE):
            return None
        if wanted in BACKENDS:
            wrong = f"KERAS_BACKEND is {wanted}, which is not installed."
            advice = f"Install it with: pip install {wanted}, or"
        else:
            wrong, advice = f"KERAS_BACKEND is {wanted}, which Keras does not know.", "Unset it, or"
        return f"{wrong} {advice} set it to an installed backend: {', '.join(installed)}"
    if _configured_backend() not in (*installed, *_ONLY_INFERENCE):
        os.environ["KERAS_BACKEND"] = installed[0]
    return None


def keras_home() -> Path:
    """The folder of Keras' configuration and downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _configured_backend() -> str:
    try:
        return read_json(keras_home() / "keras.json", has={"backend": str})["backend"]
    except (OSError, ValueError):
        return "tensorflow"  # Keras' default
