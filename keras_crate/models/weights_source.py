"""What `weights=` may name, and what a model takes from there beside the weights."""

import dataclasses
import os
import types
from collections.abc import Callable
from pathlib import Path

from keras_crate.models.weights_file import load_weights_file
from keras_crate.models.white_box import WhiteBoxModel


@dataclasses.dataclass(frozen=True)
class WeightsSource:
    """Weights on this machine, ready to be loaded.

    Attributes:
        path: A file or folder that `load_weights_file` reads.
        origin: What to call it in errors and warnings.
        settings: Arguments of the model's constructor that the weights were
            trained with, such as `mean`. They fill in what the user left at None.
        sha256: Of the file that was downloaded, where one was.
    """

    path: str | os.PathLike
    origin: str
    settings: dict = dataclasses.field(default_factory=dict)
    sha256: str | None = None

    def fill(self, settings: types.SimpleNamespace) -> None:
        """Gives a model's settings that are None the values of the weights' model."""
        for name, value in self.settings.items():
            if getattr(settings, name, value) is None:
                setattr(settings, name, value)

    def load(self, model: WhiteBoxModel) -> None:
        """Puts the weights into a model."""
        load_weights_file(model, self.path, self.origin)


# Finds what is not a file of Keras: names, addresses and checkpoints. It knows
# the models, so they cannot know it: the package brings the two together.
_finder: Callable | None = None


def set_finder(finder: Callable) -> None:
    """Sets what finds weights by name.

    Args:
        finder: Called with the `weights` argument, the model's class and the
            namespace of its settings; returns a `WeightsSource`, or None where
            `weights` is the path of a file that Keras wrote.
    """
    global _finder
    _finder = finder


def find_weights(weights, model_class: type, settings: types.SimpleNamespace) -> WeightsSource:
    """Where the weights are that a constructor's `weights` asks for.

    Args:
        weights: As in the constructors; not None.
        model_class: Class of the model.
        settings: The model's settings.

    Raises:
        ValueError: If there are no weights of this name, or they are damaged.
        FileNotFoundError: If there is no such file.
        OSError: If none of the places that should have them can be reached.
    """
    source = _finder(weights, model_class, settings) if _finder else None
    if source is not None:
        return source
    return WeightsSource(Path(weights), str(weights))
