"""Training from the beginning."""

import os
import types

import keras

from keras_crate.data import open_data
from keras_crate.evaluation.classes import classes_of
from keras_crate.models import CRATEMAE
from keras_crate.training.model_to_train import adapted, name_of, new_model, trained_model
from keras_crate.training.recipe import Recipe, load_recipe
from keras_crate.training.run import RunOptions, train
from keras_crate.weights.variants import variants

_RECIPES = {"CRATEMAE": "imagenet1k-mae", "CRATEAlpha": "imagenet21k-alpha"}


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
    """Trains a model from the beginning, as CRATE's papers did.

    The folder holds the resolved recipe (recipe.json), what else decides the
    numbers (run.json), history.csv and history.png, model.keras of the last
    epoch, best.keras of the best on the held-out images, and metrics.json when
    the run is finished. A run that was cut off goes on from its last epoch when
    it is started again with the same arguments, and comes to the same numbers.

    Args:
        model: A size, such as `"base"`, `"alpha-large"` or `"mae-base"`, for as many
            classes as the data have; the name of a variant, whose model is made
            without its weights; a `.keras` file; or a Keras classifier or
            `CRATEMAE`, which is trained itself unless the recipe asks for other
            rates, dtype or loss. All but a size have an image size of their own.
        data: As `keras_crate.data.open_data` takes it; by default the recipe's.
        output: Folder to write to; made if it does not exist.
        recipe: As `load_recipe` takes it; by default that of the family's paper
            (`"imagenet1k-paper"` for CRATE).
        validation: Folder or arrays to measure on, instead of what the data
            bring to that end.
        limit: How many images to train on, or None for all.
        patch_size: Of a size, in pixels, or None for its own.
        **options: As in `RunOptions`: `seed`, `augment`, `pipeline`, `workers`,
            `tensorboard`, `wandb`, `callbacks`, `verbose`.

    Returns:
        A namespace: `model`, `history` (lists by name), `metrics`, `folder`,
        `file` and `best` (a path, or None).

    Raises:
        TrainingDiverged: If the loss becomes NaN or infinite; a `ValueError`.
        ValueError: If there is no such model, recipe or data, they do not fit,
            or the folder holds another run.
        OSError: If the output cannot be written, or data cannot be fetched.

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
    options = RunOptions(**options)
    if not isinstance(model, (str, keras.Model)):
        raise ValueError(
            "`model` must be the name of a size or a variant, or a Keras model. "
            f"Received: {type(model).__name__}"
        )
    recipe = load_recipe(recipe if recipe is not None else recipe_for_model(model))
    data = data_of(data, recipe)
    keras.utils.set_random_seed(options.seed)
    if isinstance(model, str) and model not in variants() and not model.endswith(".keras"):
        opened = open_data(data, validation=validation, limit=limit)
        origin, model = model, new_model(model, opened, recipe, patch_size)
    else:
        if patch_size is not None:
            raise ValueError(
                f"`patch_size` is for a size. Received: patch_size={patch_size} with a "
                "model or a variant, which have their own"
            )
        origin = name_of(model)
        if isinstance(model, str) and model in variants():
            model = new_model(model, None, recipe)
        elif isinstance(model, str):
            model = trained_model(model)
        recipe = recipe.with_changes(image_size=None)  # the model's own
        model = adapted(model, recipe, None)
        expected = {} if isinstance(model, CRATEMAE) else classes_of(model)
        opened = open_data(data, validation=validation, limit=limit, **expected)
    return train(model, opened, recipe, output, options, origin)


def data_of(data, recipe: Recipe):
    """What was asked for, or the recipe's own data set.

    Args:
        data: As given, or None.
        recipe: The recipe.

    Raises:
        ValueError: If neither says.
    """
    if data is None and recipe.dataset is None:
        raise ValueError(
            "`data` must name what to train on, since the recipe names no data set. Pass the name "
            "of a set or a folder (`--data` on the command line)."
        )
    return recipe.dataset if data is None else data


def recipe_for_model(model) -> str:
    """The recipe of the family's paper.

    Args:
        model: A model, or the name of a size or a variant.
    """
    family = type(model).__name__
    if isinstance(model, str):
        name = model.lower().replace("_", "-")
        family = "CRATEMAE" if "mae" in name else "CRATEAlpha" if "alpha" in name else "CRATE"
    return _RECIPES.get(family, "imagenet1k-paper")
