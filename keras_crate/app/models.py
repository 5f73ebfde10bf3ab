"""The models of the page: opened once, shared by all users, and never changed."""

import dataclasses
import functools
import threading
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.app.inside import TWIN, Look, Seen
from keras_crate.app.plain_vit import plain_vit, trained_vit, view_of_vit
from keras_crate.app.uploads import read_image
from keras_crate.evaluation import Evaluation
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.evaluation.probabilities import class_names_or_numbers
from keras_crate.hub.open_model import open_model
from keras_crate.models import CRATEMAE
from keras_crate.models.crate_mae import Reconstruction
from keras_crate.models.model_view import ModelView
from keras_crate.models.rebuild import rebuild
from keras_crate.models.view_of import view_of
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training import SimDINO
from keras_crate.weights.variants import lookup, variants

FIRST = "crate_fashion_mnist"  # the model that the page starts with, if it is there
VIT = "a plain ViT"
SEED = 0  # of untrained models
MOST_MODELS = 8  # kept open


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model that is open."""

    look: Look
    evaluation: Evaluation
    mae: CRATEMAE | None = None  # if it is one; then `look` looks into its encoder

    @property
    def model(self) -> keras.Model:
        """The model that images are prepared for."""
        return self.look.view.model


class Models:
    """Opens models and looks into them, one user at a time."""

    def __init__(self, addresses: Sequence[str] = (), any_model: bool = False):
        self.any_model = any_model
        self.names = [*addresses, *shipped(), VIT]
        self._busy = threading.RLock()  # Keras builds and traces models in one thread only
        self._open = functools.lru_cache(MOST_MODELS)(_open)
        self._untrained = functools.lru_cache(MOST_MODELS)(self._made_untrained)

    @property
    def first(self) -> str:
        """The name of the model that the page starts with."""
        own = self.names[0] not in variants()
        return FIRST if FIRST in self.names and not own else self.names[0]

    def open(self, name: str, untrained: bool = False) -> Opened:
        """Opens a model, or returns it if it is open."""
        if name not in self.names and not self.any_model:
            raise ValueError("This page has no such model.")
        with self._busy:
            return (self._untrained if untrained else self._open)(name)

    def look(self, opened: Opened, source: Path | bytes) -> Seen:
        """Computes all that the page shows of an image."""
        with self._busy:  # large images are read one at a time, too
            return opened.look(read_image(source, opened.model, opened.evaluation))

    def reconstruct(
        self, opened: Opened, source: Path | bytes, share: float, seed: int
    ) -> Reconstruction:
        """Hides a share of an image's patches and completes them."""
        rows, columns = opened.look.view.grid
        noise = np.random.default_rng(seed).random((1, rows * columns))
        with self._busy:
            images = read_image(source, opened.model, opened.evaluation)
            return opened.mae.reconstruct(images, noise, mask_ratio=share)

    def _made_untrained(self, name: str) -> Opened:
        opened = self._open(name)
        keras.utils.set_random_seed(SEED)
        model, title = opened.model, name + TWIN
        if name == VIT:
            view = view_of_vit(plain_vit())
        elif isinstance(model, WhiteBoxModel):
            view = view_of(rebuild(model))
        else:
            raise ValueError(f"{name} is not of this package, and cannot be made again untrained.")
        return Opened(Look(title, view, opened.look.class_names), opened.evaluation)


def shipped() -> list[str]:
    """Returns the names of the variants whose weights are in this package."""
    return [v.name for v in variants().values() if v.state == "shipped" and v.shipped_file.exists()]


def _open(name: str) -> Opened:
    if name == VIT:
        view = trained_vit()
        names = variants()[FIRST].arguments["class_names"]
        return Opened(Look(name, view, names), Evaluation.for_model(view.model))
    model, evaluation = open_model(name)
    evaluation = evaluation or Evaluation.for_model(model)
    mae = model if isinstance(model, CRATEMAE) else None
    if isinstance(model, (CRATEMAE, SimDINO)):
        model = model.encoder()
    view = _view(model, evaluation)
    return Opened(Look(name, view, _class_names(name, view.model)), evaluation, mae)


def _view(model: keras.Model, evaluation: Evaluation) -> ModelView:
    """The view of a model. One that takes any size is copied for the evaluation's size."""
    if isinstance(model, WhiteBoxModel) and None in model.input_shape[1:]:
        channels = model.input_shape[-1]
        model = model.with_input_shape((*evaluation.size, channels))
    return view_of(model)


def _class_names(name: str, model: keras.Model) -> list[str] | None:
    """Names or numbers of the classes, or None if the outputs are not classes."""
    variant = lookup(name)
    if variant and not variant.classifies:
        return None
    try:
        number_of_classes(model)
    except ValueError:
        return None
    return class_names_or_numbers(model)
