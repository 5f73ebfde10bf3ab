"""The model that a run trains: made anew, or of a trained one with another head."""

import difflib
import os

import keras

from keras_crate import models
from keras_crate.data import LabelledImages
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


def size_names() -> dict[str, str]:
    """Constructor by the names that a size goes by, such as `"base"` and `"alpha-large"`."""
    names = {}
    for constructor in SIZES:
        snake = snake_case(constructor)
        for name in (constructor, snake, snake.removeprefix("crate_")):
            names[name] = names[name.replace("_", "-")] = constructor
    return names


def new_model(name: str, data: LabelledImages | None, recipe: Recipe, patch_size=None):
    """A model with initial values.

    Args:
        name: A size, such as `"base"`, `"alpha-large"` or `"mae-base"`, for as many
            classes as the data have; or a variant, with its own.
        data: What it will be trained on.
        recipe: Brings the images' size, dtype and rates.
        patch_size: Of a size, or None for its own.

    Raises:
        ValueError: If there is none of that name.
    """
    settings = {k: getattr(recipe, k) for k in _MODEL_SETTINGS if getattr(recipe, k) is not None}
    if recipe.precision:
        settings["dtype"] = recipe.precision
    if name in variants():
        variant = variants()[name]
        if not variant.classifies:
            raise ValueError(f"The outputs of {name} are no classes: {variant.notes}")
        if recipe.loss == "binary_crossentropy":
            settings["classifier_activation"] = None
        return build(variant, weights=None, **settings)
    known = size_names()
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *variants()], n=3)
        short = [snake_case(c).removeprefix("crate_").replace("_", "-") for c in SIZES]
        raise ValueError(
            f"There is no size or variant {name!r}"
            + (f"; did you mean {' or '.join(near)}?" if near else ".")
            + f" Sizes: {', '.join(short)}; `keras-crate weights` lists variants."
        )
    constructor = getattr(models, known[name])
    side = recipe.image_size or 224
    settings["input_shape"] = (side, side, data.train.channels)
    if patch_size is not None:
        settings["patch_size"] = patch_size
    if not known[name].startswith("CRATEMAE"):
        if recipe.loss == "binary_crossentropy":
            settings["classifier_activation"] = None
        settings |= {"classes": data.classes, "class_names": names_of_classes(data)}
    return constructor(data_format="channels_last", **settings)


def names_of_classes(data: LabelledImages) -> tuple[str, ...] | None:
    """Names for a model: ImageNet's words where the data have its WordNet identifiers."""
    identifiers, words = zip(*imagenet_classes(), strict=True)
    return words if data.class_names == identifiers else data.class_names


def name_of(model) -> str:
    """What tells a model from others from one process to the next.

    Args:
        model: A name, a path, or a model, whose own name Keras may number.
    """
    return type(model).__name__ if isinstance(model, keras.Model) else str(model)


def trained_model(model: "str | os.PathLike | keras.Model"):
    """A model that is given, or that a file, a variant or a repository holds."""
    if isinstance(model, keras.Model):
        return model
    if isinstance(model, (str, os.PathLike)):
        return open_model(str(model))[0]
    raise ValueError(
        "`model` must be a Keras model, a .keras file, a variant or hf://user/repository. "
        f"Received: {type(model).__name__}"
    )


def adapted(model: keras.Model, recipe: Recipe, data: LabelledImages | None) -> keras.Model:
    """The model as the recipe wants it: size of images, rates, dtype, a head for the data.

    Args:
        model: Stays as it is.
        recipe: The settings.
        data: Data whose classes the head is to tell apart, or None to keep it.

    Returns:
        A new model with the same weights, but for a new head where classes
        differ; or the model itself where nothing is to change, or it is not of
        this package.

    Raises:
        ValueError: If a model that is not of this package does not fit.
    """
    if not isinstance(model, WhiteBoxModel):
        return _foreign(model, recipe, data)
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
    changes = {k: getattr(recipe, k) for k in _MODEL_SETTINGS if getattr(recipe, k) is not None}
    if recipe.precision:
        changes["dtype"] = recipe.precision
    height, width, channels = settings.input_shape
    side = recipe.image_size
    if side and (height, width) != (side, side):
        changes["input_shape"] = (side, side, channels)
    if recipe.loss == "binary_crossentropy" and hasattr(settings, "classifier_activation"):
        changes["classifier_activation"] = None
    names = data and names_of_classes(data)
    if data is not None:
        same = settings.include_top and settings.classes == data.classes
        if not same or (names and settings.class_names not in (None, names)):
            changes |= {"include_top": True, "classes": data.classes, "class_names": names}
            changes["pooling"] = settings.pooling or "token"
    if data is None and not changes:
        return model
    new = rebuild(model, **changes)
    carry_weights(model, new, new_head="classes" in changes)
    if data is not None and names and new.class_names is None:
        new.class_names = names
    return new


def freeze_all_but_head(model: keras.Model) -> None:
    """Leaves the last layer with weights alone to be trained."""
    *others, _ = [layer for layer in model.layers if layer.weights]
    for layer in others:
        layer.trainable = False


def _foreign(model, recipe: Recipe, data: LabelledImages | None):
    for name in (*_MODEL_SETTINGS, "precision"):
        if getattr(recipe, name) is not None:
            raise ValueError(
                f"`{name}` can be set for models of keras_crate. Received: "
                f"{type(model).__name__}. Make the model with it, and leave it out."
            )
    classes = data and data.classes
    if classes and model.output_shape != (None, classes):
        raise ValueError(
            f"A model that is not of keras_crate must have outputs of shape (None, {classes}), one "
            f"a class of the data. Received: {model.output_shape}"
        )
    return model
