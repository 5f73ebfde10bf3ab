"""Chooses the Keras backend, before Keras is imported."""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("jax", "tensorflow", "torch")


def choose_backend() -> str | None:
    """Lets Keras start on a backend that is installed.

    The user's choice (`KERAS_BACKEND`, or Keras' configuration file) is kept if
    that backend is installed. If Keras would fall back on a backend that is not
    installed, the first installed one of JAX, TensorFlow and PyTorch is chosen.

    Returns:
        None if Keras can be imported, otherwise an error message.
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
                f"KERAS_BACKEND is {wanted}, which is not installed. Install it with: pip install "
                f"{wanted}, or set KERAS_BACKEND to an installed backend: {', '.join(installed)}"
            )
        return None  # Keras refuses unknown names itself
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
        return "tensorflow"  # Keras' default
