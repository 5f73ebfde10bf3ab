"""Trains a model, from initial weights or its own."""

import os
import types
from pathlib import Path

import keras

from keras_crate.checks import names_arguments
from keras_crate.data import open_data
from keras_crate.distributed.devices import distributed
from keras_crate.evaluation.classes import classes_of
from keras_crate.models.rebuild import made_anew
from keras_crate.training.losses import learns_labels
from keras_crate.training.model_to_train import (
    adapt_model,
    model_name,
    open_trained,
    without_labels,
)
from keras_crate.training.new_model import make_model, make_variant
from keras_crate.training.recipe import Recipe, load_recipe
from keras_crate.training.run import RunOptions, train
from keras_crate.weights.hub_files import SCHEME
from keras_crate.weights.variants import lookup

_RECIPES = {
    "CRATEMAE": "imagenet1k-mae",
    "CRATEAlpha": "imagenet21k-alpha",
    "CBT": "imagenet1k-cbt",
    "SimDINO": "imagenet1k-simdino",
}


@names_arguments(options=[RunOptions], inside={"recipe": Recipe})
def pretrain(
    model: str | keras.Model,
    data=None,
    output: str | os.PathLike = "crate-pretrain",
    *,
    recipe: "str | os.PathLike | Recipe | None" = None,
    validation=None,
    limit: int | None = None,
    patch_size=None,
    channels: int | None = None,
    from_scratch: bool | None = None,
    **options,
) -> types.SimpleNamespace:
    """Trains a model, from initial weights or its own, as CRATE's papers did.

    The folder holds the settings (recipe.json, run.json), history.csv and
    history.png, model.keras of the last epoch, best.keras of the epoch with the
    best validation accuracy, and metrics.json when the run is finished. Test
    images are looked at once, at the end: `test_accuracy` in metrics.json is that
    of best.keras or, without validation images, of model.keras. If an interrupted
    run is started again with the same arguments, it resumes after its last epoch
    and gives the numbers of an uninterrupted run.

    Args:
        model: What to train:

            - a size, such as `"base"`, `"alpha-large"` or `"mae-base"`: a new
              model for the data's classes;
            - a family with width, depth and heads, such as `"crate:128x4x4"` or
              `"crate-alpha:96x3x4"`: likewise;
            - the name of a variant: its model with initial weights;
            - a `.keras` file, `hf://user/repository` or a folder of its files: the
              model with its weights;
            - a Keras classifier, `CRATEMAE` or `SimDINO`: with its weights. It is
              trained itself. A copy is trained if the recipe has other rates or
              another dtype or loss, or with `distribute` under JAX and TensorFlow.

            The last three keep their image size. By a recipe of SimDINO, any of
            them but a `CRATEMAE` is trained as an encoder.
        data: As in `keras_crate.data.open_data`. By default, the recipe's data.
        output: Folder to write to: new, empty, or that of a run to resume.
        recipe: As in `load_recipe`. By default, that of the variant, or of the
            family's paper, such as `"imagenet1k-paper"` for CRATE.
        validation: As in `keras_crate.data.open_data`: a folder or a pair of arrays
            of validation images, or a share of the training images. By default,
            those of the data.
        limit: Number of training images, or None for all.
        patch_size: Side of the patches of a new model in pixels, or None for its
            own.
        channels: Channels of the images of a new model: 1, 3 or 4. By default,
            the data's.
        from_scratch: Whether the weights are initial ones: True for any model,
            False for a variant, a file or a model. None is as above. The first
            line of the output says it.
        **options: As in `RunOptions`: `seed`, `augment`, `pipeline`, `workers`,
            `tensorboard`, `wandb`, `callbacks`, `distribute`, `verbose`.

    Returns:
        A namespace: `model`, `history` (lists by name), `metrics`, `process` (0 is the
        one that writes), `folder`, `file` and `best` (a path, or None).

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
    with distributed(run_options.distribute) as devices:
        recipe = load_recipe(recipe if recipe is not None else recipe_for_model(model))
        data = data_of(data, recipe)
        origin = model_name(model)
        keras.utils.set_random_seed(run_options.seed)
        variant = lookup(model) if isinstance(model, str) else None
        if isinstance(model, str) and variant is None and not _is_saved(model):
            if from_scratch is False:
                raise ValueError(
                    f"A new model has no weights to continue from. Received: {origin}. Name a "
                    "variant, a .keras file or a repository."
                )
            opened = open_data(data, validation=validation, limit=limit)
            model = make_model(model, opened, recipe, patch_size, channels)
            begin = {"model": origin, "weights": "initial"}
            return train(model, opened, recipe, output, run_options, begin, devices)
        for name, value in (("patch_size", patch_size), ("channels", channels)):
            if value is not None:
                raise ValueError(
                    f"`{name}` is for a new model, of a size or such as crate:128x4x4. Received: "
                    f"{name}={value} with {origin}, which has its own."
                )
        if from_scratch is None:
            from_scratch = variant is not None
        if variant and from_scratch:
            model = make_variant(variant, recipe)
        else:
            model = open_trained(model, devices)
            model = made_anew(model) if from_scratch else model
        recipe = recipe.with_changes(image_size=None)  # the model keeps its own
        model = without_labels(adapt_model(model, recipe, None), recipe)
        expected = classes_of(model) if learns_labels(model) else {}
        opened = open_data(data, validation=validation, limit=limit, **expected)
        begin = {"model": origin, "weights": "initial" if from_scratch else "given"}
        return train(model, opened, recipe, output, run_options, begin, devices)


def _is_saved(model: str) -> bool:
    is_folder = os.path.isfile(Path(model) / "config.json")  # not one that has a size's name
    return model.endswith(".keras") or model.startswith(SCHEME) or is_folder


def data_of(data, recipe: Recipe):
    """Returns the data that the user passed, or the recipe's."""
    if data is None and recipe.dataset is None:
        raise ValueError(
            "`data` must name what to train on: the recipe names no data set. Pass the name of a "
            "set or a folder (`--data` on the command line)."
        )
    return recipe.dataset if data is None else data


def recipe_for_model(model: str | keras.Model) -> str:
    """Returns the name of the recipe for a model, size, variant or file.

    A variant's own recipe comes before that of its family.
    """
    variant = lookup(model) if isinstance(model, str) else None
    if variant is not None and variant.recipe is not None:
        return variant.recipe
    family = type(model).__name__
    if isinstance(model, str):
        name = Path(model).stem.lower()
        words = {"mae": "CRATEMAE", "alpha": "CRATEAlpha", "cbt": "CBT"}
        family = next((f for word, f in words.items() if word in name), "CRATE")
    return _RECIPES.get(family, "imagenet1k-paper")
