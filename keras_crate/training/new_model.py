"""Makes models with initial weights: of a size, of any width and depth, or of a variant."""

import functools
import re
from collections.abc import Callable

import keras

from keras_crate import models
from keras_crate.checks import did_you_mean
from keras_crate.data import LabelledImages
from keras_crate.models.load import build
from keras_crate.training.model_to_train import class_names_of, settings_of, without_labels
from keras_crate.training.recipe import Recipe
from keras_crate.weights.sizes import SIZES, family_of, snake_case
from keras_crate.weights.variants import Variant, names_of_variants

FAMILIES = {"crate": "CRATE", "crate-alpha": "CRATEAlpha", "crate-mae": "CRATEMAE", "cbt": "CBT"}


def make_model(
    name: str, data: LabelledImages, recipe: Recipe, patch_size=None, channels: int | None = None
) -> keras.Model:
    """Makes a model with initial weights, for the data's classes.

    The name is a size, such as `"alpha-large"`, `"mae_base"` or `"CRATEBase"`; or a family with
    width, depth and heads, such as `"crate:128x4x4"`. If the recipe has no image size, that of
    the first training image is taken.
    """
    constructor, family = _constructor(name)
    has_head = family != "CRATEMAE"
    settings = settings_of(recipe, has_head)
    if patch_size is not None:
        settings["patch_size"] = patch_size
    if has_head and recipe.simdino is not None:
        settings |= {"include_top": False, "pooling": "token"}
    elif has_head:
        settings |= {"classes": data.classes, "class_names": class_names_of(data)}
    if recipe.image_size is None:
        width, height = data.train.image(0, "RGB").size
    else:
        width = height = recipe.image_size
    shape = (height, width, channels or data.train.channels)
    model = constructor(input_shape=shape, data_format="channels_last", **settings)
    return without_labels(model, recipe)


def _constructor(name: str) -> tuple[Callable, str]:
    """Returns a function that makes a model of this name, and the name of its family."""
    sizes = {short_name(constructor): constructor for constructor in SIZES}
    if short_name(name) in sizes:
        size = sizes[short_name(name)]
        return getattr(models, size), family_of(size)
    if ":" not in name:
        question = did_you_mean(name, [*sizes, *names_of_variants()])
        raise ValueError(
            f"There is no size or variant {name!r}{question}\n"
            f"Sizes: {', '.join(sizes)}, or such as crate:128x4x4.\n"
            "`keras-crate weights` lists variants."
        )
    form = re.fullmatch(r"(.+):(\d+)x(\d+)x(\d+)", name)
    family = FAMILIES.get(form[1]) if form else None
    if form is None or family is None:
        raise ValueError(
            "A new model must be FAMILY:WIDTHxDEPTHxHEADS, such as crate:128x4x4. Received: "
            f"{name}\nFamilies: {', '.join(FAMILIES)}."
        )
    return functools.partial(getattr(models, family), *map(int, form.groups()[1:])), family


def short_name(name: str) -> str:
    """Returns a size's short name: `"mae-base"` for `"CRATEMAEBase"` and `"crate_mae_base"`."""
    return snake_case(name).replace("_", "-").removeprefix("crate-")


def make_variant(variant: Variant, recipe: Recipe) -> keras.Model:
    """Makes the model of a variant, with initial weights."""
    if variant.architecture.family != "CRATEMAE" and recipe.simdino is None:
        variant.check_classifies()
    return build(variant, weights=None, **settings_of(recipe, has_head=variant.classifies))
