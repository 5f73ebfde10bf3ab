"""Trains a model from initial weights."""

import os
import types
from pathlib import Path

import keras

from keras_crate.data import open_data
from keras_crate.evaluation.classes import classes_of
from keras_crate.training.losses import learns_labels
from keras_crate.training.model_to_train import (
    adapt_model,
    make_model,
    make_variant,
    model_name,
    open_trained,
    without_labels,
)
from keras_crate.training.recipe import Recipe, load_recipe
from keras_crate.training.run import RunOptions, train
from keras_crate.weights.variants import variants

_RECIPES = {
    "CRATEMAE": "imagenet1k-mae",
    "CRATEAlpha": "imagenet21k-alpha",
    "SimDINO": "imagenet1k-simdino",
}


def pretrain(
    model: str | keras.Model,
    data=None,
    output: str | os.PathLike = "crate-pretrain",
    *,
    recipe: "str | os.PathLike | Recipe | None" = None,
    validation=None,
    limit: int | None = None,
    patch_size=None,
    **options,
) -> types.SimpleNamespace:
    """Trains a model from initial weights, as CRATE's papers did.

    The folder holds the settings (recipe.json, run.json), history.csv and
    history.png, model.keras of the last epoch, best.keras of the epoch with the
    best validation accuracy, and metrics.json when the run is finished. If an
    interrupted run is started again with the same arguments, it resumes after
    its last epoch and gives the numbers of an uninterrupted run.

    Args:
        model: A size, such as `"base"`, `"alpha-large"` or `"mae-base"`, whose
            model is made for the data's classes; the name of a variant, whose
            model is made without its weights; a `.keras` file; or a Keras
            classifier, `CRATEMAE` or `SimDINO`. By a recipe of SimDINO, a size
            is trained as encoder, and so is any encoder. A model is trained itself, or a copy if
            the recipe has other rates or another dtype or loss. All but a size
            keep their image size.
        data: As in `keras_crate.data.open_data`. By default, the recipe's data.
        output: Folder to write to: new, empty, or that of a run to resume.
        recipe: As in `load_recipe`. By default, that of the family's paper, such
            as `"imagenet1k-paper"` for CRATE.
        validation: Folder or pair of arrays of validation images. By default,
            those of the data.
        limit: Number of training images, or None for all.
        patch_size: Side of a size's patches in pixels, or None for its own.
        **options: As in `RunOptions`: `seed`, `augment`, `pipeline`, `workers`,
            `tensorboard`, `wandb`, `callbacks`, `verbose`.

    Returns:
        A namespace: `model`, `history` (lists by name), `metrics`, `folder`,
        `file` and `best` (a path, or None).

    Raises:
        TrainingDiverged: If the loss becomes NaN or infinite.
        ValueError: If there is no such model, recipe or data, they do not fit,
            or the folder cannot be used.
        OSError: If the output cannot be written, or data cannot be downloaded.

    Example:

    ```python
    model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2)
    recipe = keras_crate.training.Recipe(epochs=1, batch_size=2)
    run = keras_crate.training.pretrain(model, "pets", recipe=recipe)
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 3 (the experiments' settings).
    """
    run_options = RunOptions(**options)
    recipe = load_recipe(recipe if recipe is not None else recipe_for_model(model))
    data = data_of(data, recipe)
    origin = model_name(model)
    keras.utils.set_random_seed(run_options.seed)
    if isinstance(model, str) and model not in variants() and not model.endswith(".keras"):
        opened = open_data(data, validation=validation, limit=limit)
        model = make_model(model, opened, recipe, patch_size)
        return train(model, opened, recipe, output, run_options, origin)
    if patch_size is not None:
        raise ValueError(
            f"`patch_size` is for a size. Received: patch_size={patch_size} with a model or a "
            "variant, which have their own."
        )
    is_variant = isinstance(model, str) and model in variants()
    model = make_variant(model, recipe) if is_variant else open_trained(model)
    recipe = recipe.with_changes(image_size=None)  # the model keeps its own
    model = without_labels(adapt_model(model, recipe, None), recipe)
    expected = classes_of(model) if learns_labels(model) else {}
    opened = open_data(data, validation=validation, limit=limit, **expected)
    return train(model, opened, recipe, output, run_options, origin)


def data_of(data, recipe: Recipe):
    """Returns the data that the user passed, or the recipe's."""
    if data is None and recipe.dataset is None:
        raise ValueError(
            "`data` must name what to train on: the recipe names no data set. Pass the name of a "
            "set or a folder (`--data` on the command line)."
        )
    return recipe.dataset if data is None else data


def recipe_for_model(model: str | keras.Model) -> str:
    """Returns the name of the recipe for a model, size, variant or file."""
    family = type(model).__name__
    if isinstance(model, str):
        name = Path(model).stem.lower()
        family = "CRATEMAE" if "mae" in name else "CRATEAlpha" if "alpha" in name else "CRATE"
    return _RECIPES.get(family, "imagenet1k-paper")
