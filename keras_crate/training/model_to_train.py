"""Opens a trained model, and adapts it to a recipe and to data."""

import copy
import dataclasses
import os
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_crate.data import LabelledImages
from keras_crate.data.image_sources import FileSource
from keras_crate.distributed.devices import Devices
from keras_crate.hub.open_model import open_model
from keras_crate.layers.dense import adapters_apart
from keras_crate.models import CRATEMAE
from keras_crate.models.class_names import imagenet_classes
from keras_crate.models.rebuild import adapted
from keras_crate.models.saving import save_model
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.prepared_batches import PreparedBatches
from keras_crate.training.recipe import Recipe
from keras_crate.training.simdino import SimDINO


def without_labels(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns a SimDINO of the model if the recipe is SimDINO's, else the model."""
    if recipe.simdino is None or isinstance(model, SimDINO):
        return model
    try:
        return SimDINO(model, **recipe.simdino)
    except TypeError as error:  # of a name that it does not have
        raise ValueError(f"The setting `simdino`: {error}") from error


def settings_of(recipe: Recipe, has_head: bool) -> dict:
    """The model settings that a recipe has."""
    settings = {
        "drop_path_rate": recipe.drop_path_rate,
        "dropout_rate": recipe.dropout_rate,
        "dtype": recipe.precision,
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if has_head and recipe.loss == "binary_crossentropy":
        settings["classifier_activation"] = None
    return settings


def class_names_of(data: LabelledImages | PreparedBatches) -> tuple[str, ...] | None:
    """Returns the data's class names, with ImageNet's words for WordNet identifiers."""
    identifiers, words = zip(*imagenet_classes(), strict=True)
    return words if data.class_names == identifiers else data.class_names


def in_order_of(data: LabelledImages, names: tuple[str, ...] | None) -> LabelledImages:
    """Relabels images from folders with a model's class names, in the model's order.

    Other data are returned unchanged.
    """
    ours = data.class_names
    if not (isinstance(data.train, FileSource) and ours and names):
        return data
    if sorted(ours) != sorted(names):
        return data
    order = np.array([names.index(name) for name in ours])

    def relabel(source):
        source = copy.copy(source)
        if source is not None:
            source.labels = order[source.labels]
        return source

    return dataclasses.replace(
        data,
        train=relabel(data.train),
        validation=relabel(data.validation),
        test=relabel(data.test),
        class_names=tuple(names),
    )


def model_name(model: "str | os.PathLike | keras.Model") -> str:
    """Returns the name of a model in run.json, which is the same in every process."""
    # Keras may append a number to `model.name`.
    return type(model).__name__ if isinstance(model, keras.Model) else str(model)


def open_trained(model: "str | os.PathLike | keras.Model", devices: Devices) -> keras.Model:
    """Returns the model itself, or opens that of a file, a variant or a repository.

    The model is copied if the devices can train only models that were made in their scope.
    """
    if isinstance(model, keras.Model):
        return _copy(model) if devices.trains_copies else model
    if isinstance(model, (str, os.PathLike)):
        return open_model(str(model))[0]
    raise ValueError(
        "`model` must be a Keras model, a .keras file or a name. Received: a "
        f"{type(model).__name__}"
    )


def _copy(model: keras.Model) -> keras.Model:
    """Returns a complete copy of a model, including adapters of LoRA."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        with adapters_apart():
            save_model(model, file)
        return keras.saving.load_model(file, compile=False)


def adapt_model(
    model: keras.Model,
    recipe: Recipe,
    data: LabelledImages | PreparedBatches | None,
    size: tuple[int, int] | None = None,
) -> keras.Model:
    """Adapts a model to a recipe's image size, rates and dtype, and to the data's classes.

    Returns a new model with the same weights, except for a new head if the classes differ.
    Without data, the head is kept. It is the model itself if nothing changes, or if it is not
    of this package.
    """
    if isinstance(model, SimDINO):
        if data is not None:
            return adapt_model(model.encoder(), recipe, data)
        encoder = adapt_model(model.student, recipe, None)
        return model if encoder is model.student else model.with_encoder(encoder)
    if not isinstance(model, WhiteBoxModel):
        _check_foreign(model, recipe, data)
        return model
    if getattr(model.settings, "fused", False):
        raise ValueError(
            "`model` must not be fused: fused models are for prediction. Received: a fused model. "
            "Train the original model."
        )
    if model.settings.data_format != "channels_last":
        raise ValueError("`model` must take channels last. Received: a channels-first model")
    if isinstance(model, CRATEMAE) and data is not None:
        model = model.encoder(include_top=True, classes=data.classes)
    settings = model.settings
    changes = settings_of(recipe, hasattr(settings, "classifier_activation"))
    *own, channels = model.input_shape[1:]
    if size is None and recipe.image_size:
        size = (recipe.image_size, recipe.image_size)
    if size and tuple(own) != tuple(size):
        changes["input_shape"] = (*size, channels)
    elif None in own:
        raise ValueError(
            "Training needs one image size. Received: a model for images of any size. Set "
            "`image_size` in the recipe, or pass "
            "`model.with_input_shape((height, width, channels))`."
        )
    if data is None:
        return adapted(model, **changes) if changes else model
    names = class_names_of(data)
    has_head = settings.include_top and settings.classes == data.classes
    if not has_head or (names and settings.class_names not in (None, names)):
        changes |= {"include_top": True, "classes": data.classes, "class_names": names}
        changes["pooling"] = settings.pooling or "token"
    new = adapted(model, **changes)
    if names and new.class_names is None:
        new.class_names = names
    return new


def _check_foreign(
    model: keras.Model, recipe: Recipe, data: LabelledImages | PreparedBatches | None
) -> None:
    """Refuses settings that need a model of this package."""
    for name in ("drop_path_rate", "dropout_rate", "precision"):
        if getattr(recipe, name) is not None:
            raise ValueError(
                f"`{name}` can be set for models of keras_crate. Received: a "
                f"{type(model).__name__}. Make the model with it, and leave it out."
            )
    if data is not None and model.output_shape != (None, data.classes):
        raise ValueError(
            "A model that is not of keras_crate must have outputs of shape "
            f"(None, {data.classes}), one a class of the data. Received: {model.output_shape}"
        )
