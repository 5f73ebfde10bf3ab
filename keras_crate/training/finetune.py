"""Training what is trained already, on other data."""

import contextlib
import os
import types

import keras

from keras_crate.data import open_data
from keras_crate.training.model_to_train import adapted, name_of, trained_model
from keras_crate.training.pretrain import data_of
from keras_crate.training.recipe import Recipe, list_recipes, load_recipe
from keras_crate.training.run import RunOptions, train


def finetune(
    model: "str | os.PathLike | keras.Model",
    data=None,
    output: str | os.PathLike = "crate-finetune",
    *,
    recipe: "str | os.PathLike | Recipe | None" = None,
    validation=None,
    limit: int | None = None,
    **options,
) -> types.SimpleNamespace:
    """Fine-tunes a trained model on other images, as CRATE's paper did.

    A copy of the model is trained: with a new head where the data have other
    classes, for images of the recipe's size, to which positions are resized. A
    masked autoencoder's encoder is given a head. The folder is as that of
    `pretrain`, and a run that was cut off goes on when it is started again.

    Args:
        model: A Keras model; a `.keras` file; the name of a variant; or
            `hf://user/repository`. A model that is not of this package is
            trained itself, and must have an output for each class.
        data: As `keras_crate.data.open_data` takes it, such as `"cifar10"`; by
            default the recipe's.
        output: Folder to write to; made if it does not exist.
        recipe: As `load_recipe` takes it; by default the paper's for the data
            set (`"cifar10-paper"`), which is the same for any other.
        validation: Folder or arrays to measure on, instead of what the data
            bring to that end.
        limit: How many images to train on, or None for all.
        **options: As in `RunOptions`: `seed`, `augment`, `pipeline`, `workers`,
            `tensorboard`, `wandb`, `callbacks`, `verbose`.

    Returns:
        As `pretrain`.

    Raises:
        TrainingDiverged: If the loss becomes NaN or infinite; a `ValueError`.
        ValueError: If there is no such model, recipe or data, they do not fit,
            or the folder holds another run.
        OSError: If the output cannot be written, or data cannot be fetched.

    Example:

    ```python
    recipe = keras_crate.training.load_recipe(
        "finetune-paper", epochs=1, batch_size=2, image_size=32
    )
    run = keras_crate.training.finetune(model, "pets", recipe=recipe)
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 3 (the experiments' settings).
    """
    options = RunOptions(**options)
    recipe = load_recipe(recipe_for_data(data) if recipe is None else recipe)
    given = data_of(data, recipe)
    opened = open_data(given, validation=validation, limit=limit)
    keras.utils.set_random_seed(options.seed)
    origin = name_of(model)
    model = trained_model(model)
    names = getattr(model, "class_names", None)
    if names and opened.class_names and names != opened.class_names:
        with contextlib.suppress(ValueError):  # a folder of the same classes, in the model's order
            opened = open_data(given, validation=validation, limit=limit, class_names=names)
    model = adapted(model, recipe, opened)
    return train(model, opened, recipe, output, options, origin)


def recipe_for_data(data) -> str:
    """The paper's recipe for a data set, or for any.

    Args:
        data: As given.
    """
    own = f"{data}-paper"
    return own if own in list_recipes() else "finetune-paper"
