"""The model that a run trains: a new one, or a trained one that is adapted to the data."""

import dataclasses
import os

import keras
import numpy as np

from keras_crate import models
from keras_crate.checks import did_you_mean
from keras_crate.data import LabelledImages
from keras_crate.data.image_sources import FileSource
from keras_crate.hub.open_model import open_model
from keras_crate.models import CRATEMAE
from keras_crate.models.class_names import imagenet_classes
from keras_crate.models.load import build
from keras_crate.models.rebuild import carry_weights, rebuild
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.recipe import Recipe
from keras_crate.weights.sizes import SIZES, snake_case
from keras_crate.weights.variants import variants

_MODEL_SETTINGS = ("drop_path_rate", "dropout_rate")


def list_sizes() -> dict[str, str]:
    """The constructors by the names of their size, such as `"base"` and `"alpha-large"`."""
    names = {}
    for constructor in SIZES:
        snake = snake_case(constructor)
        for name in (constructor, snake, snake.removeprefix("crate_")):
            names[name] = names[name.replace("_", "-")] = constructor
    return names


def make_variant(name: str, recipe: Recipe) -> keras.Model:
    """Makes the model of a variant, with initial values.

    Raises:
        ValueError: If its outputs are not classes.
    """
    variant = variants()[name]
    if not variant.classifies:
        raise ValueError(f"The outputs of {name} are not classes: {variant.notes}")
    settings = _settings_of(recipe)
    if recipe.loss == "binary_crossentropy":
        settings["classifier_activation"] = None
    return build(variant, weights=None, **settings)


def make_model(name: str, data: LabelledImages, recipe: Recipe, patch_size=None) -> keras.Model:
    """Makes a model of a size, with initial values, for the data's classes.

    Args:
        name: The size, such as `"base"`, `"alpha-large"` or `"mae-base"`.
        data: What it will be trained on.
        recipe: Brings the images' size, dtype and rates.
        patch_size: In pixels, or None for the size's own.

    Raises:
        ValueError: If there is no such size.
    """
    sizes = list_sizes()
    if name not in sizes:
        short = [snake_case(c).removeprefix("crate_").replace("_", "-") for c in SIZES]
        raise ValueError(
            f"There is no size or variant {name!r}{did_you_mean(name, [*sizes, *variants()])}\n"
            f"Sizes: {', '.join(short)}; `keras-crate weights` lists variants."
        )
    side = recipe.image_size or 224
    settings = {**_settings_of(recipe), "input_shape": (side, side, data.train.channels)}
    if patch_size is not None:
        settings["patch_size"] = patch_size
    if not sizes[name].startswith("CRATEMAE"):
        if recipe.loss == "binary_crossentropy":
            settings["classifier_activation"] = None
        settings |= {"classes": data.classes, "class_names": class_names_of(data)}
    return getattr(models, sizes[name])(data_format="channels_last", **settings)


def _settings_of(recipe: Recipe) -> dict:
    """The settings of a model that a recipe brings."""
    settings = {name: getattr(recipe, name) for name in _MODEL_SETTINGS}
    settings["dtype"] = recipe.precision
    return {name: value for name, value in settings.items() if value is not None}


def class_names_of(data: LabelledImages) -> tuple[str, ...] | None:
    """Class names for a model: ImageNet's words if the data have its WordNet identifiers."""
    identifiers, words = zip(*imagenet_classes(), strict=True)
    return words if data.class_names == identifiers else data.class_names


def in_order_of(data: LabelledImages, names: tuple[str, ...] | None) -> LabelledImages:
    """The same images with labels in a model's order, if a folder has the model's class names.

    Args:
        data: The images. Only folders are changed: other data come with an
            order of their own.
        names: The model's class names, or None.
    """
    is_folder = isinstance(data.train, FileSource) and data.class_names and names
    if not is_folder or sorted(data.class_names) != sorted(names):
        return data
    order = np.array([names.index(name) for name in data.class_names])

    def relabel(source):
        return source and FileSource(source.files, order[source.labels])

    return dataclasses.replace(
        data,
        train=relabel(data.train),
        validation=relabel(data.validation),
        class_names=tuple(names),
    )


def model_name(model: "str | os.PathLike | keras.Model") -> str:
    """The name of a model in run.json, the same in every process."""
    # Keras may number the own name of a model.
    return type(model).__name__ if isinstance(model, keras.Model) else str(model)


def open_trained(model: "str | os.PathLike | keras.Model") -> keras.Model:
    """The model itself, or that of a file, a variant or a repository."""
    if isinstance(model, keras.Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return open_model(str(model))[0]
    raise ValueError(
        "`model` must be a Keras model, a .keras file, a variant or hf://user/repository. "
        f"Received: {type(model).__name__}"
    )


def adapt_model(model: keras.Model, recipe: Recipe, data: LabelledImages | None) -> keras.Model:
    """Adapts a model to a recipe's image size, rates and dtype, and to the data's classes.

    Args:
        model: The model, which is not changed.
        recipe: The settings.
        data: The data, or None to keep the head.

    Returns:
        A new model with the same weights, except for a new head if the classes
        differ. The model itself if nothing changes, or if it is not of this
        package.

    Raises:
        ValueError: If the model cannot be trained so.
    """
    if not isinstance(model, WhiteBoxModel):
        _check_foreign(model, recipe, data)
        return model
    settings = model.settings
    if getattr(settings, "fused", False):
        raise ValueError(
            "`model` must not be fused, which is for prediction. Received: a fused model. Train "
            "the model that it was made of."
        )
    if settings.data_format != "channels_last":
        raise ValueError("`model` must take channels last. Received: a model of channels first")
    if isinstance(model, CRATEMAE) and data is not None:
        model = model.encoder(include_top=True, classes=data.classes)
        settings = model.settings
    changes = _settings_of(recipe)
    *size, channels = settings.input_shape
    side = recipe.image_size
    if side and size != [side, side]:
        changes["input_shape"] = (side, side, channels)
    if recipe.loss == "binary_crossentropy" and hasattr(settings, "classifier_activation"):
        changes["classifier_activation"] = None
    if data is None:
        return _rebuilt(model, changes) if changes else model
    names = class_names_of(data)
    has_head = settings.include_top and settings.classes == data.classes
    if not has_head or (names and settings.class_names not in (None, names)):
        changes |= {"include_top": True, "classes": data.classes, "class_names": names}
        changes["pooling"] = settings.pooling or "token"
    new = _rebuilt(model, changes)
    if names and new.class_names is None:
        new.class_names = names
    return new


def freeze_all_but_head(model: keras.Model) -> None:
    """Leaves only the last layer with weights to be trained."""
    *others, _ = [layer for layer in model.layers if layer.weights]
    for layer in others:
        layer.trainable = False


def _rebuilt(model: WhiteBoxModel, changes: dict) -> WhiteBoxModel:
    new = rebuild(model, **changes)
    carry_weights(model, new, new_head="classes" in changes)
    return new


def _check_foreign(model: keras.Model, recipe: Recipe, data: LabelledImages | None) -> None:
    """Refuses what only a model of this package can be adapted to."""
    for name in (*_MODEL_SETTINGS, "precision"):
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
