"""Fine-tunes a trained model on other data."""

import os
import types
from collections.abc import Sequence

import keras

from keras_crate.checks import names_arguments
from keras_crate.data import open_data
from keras_crate.distributed.devices import distributed
from keras_crate.training.model_to_train import adapt_model, in_order_of, model_name, open_trained
from keras_crate.training.prepared_batches import are_prepared, open_prepared
from keras_crate.training.pretrain import data_of
from keras_crate.training.recipe import Recipe, list_recipes, load_recipe
from keras_crate.training.run import RunOptions, train


@names_arguments(options=[RunOptions], inside={"recipe": Recipe})
def finetune(
    model: "str | os.PathLike | keras.Model",
    data=None,
    output: str | os.PathLike = "crate-finetune",
    *,
    recipe: "str | os.PathLike | Recipe | None" = None,
    validation=None,
    limit: int | None = None,
    class_names: Sequence[str] | None = None,
    **options,
) -> types.SimpleNamespace:
    """Fine-tunes a trained model on other images, as CRATE's paper did.

    A copy of the model is trained. Its positions are resized to the recipe's
    image size. The copy keeps the head if the data have the model's class names,
    or have no names and as many classes. (The names of folders may be in any
    order.) Otherwise it gets a new head and the data's class names. Of a masked
    autoencoder, the encoder is trained, with a new head. The output folder is as
    in `pretrain`, and so is the resuming of an interrupted run.

    Args:
        model: A Keras model; a `.keras` file; the name of a variant; or
            `hf://user/repository`. A model that is not of this package is not
            copied, and must have an output for each class.
        data: As in `keras_crate.data.open_data`, such as `"cifar10"`. By default,
            the recipe's data. Or batches that you prepared: a `tf.data.Dataset`,
            a PyTorch `DataLoader`, a `keras.utils.PyDataset` or a
            `grain.MapDataset` of images
            `(n, height, width, channels)` as the model takes them, and labels,
            integers or one-hot; or a pair of them (training, validation). The
            recipe changes nothing in such images, and the model takes their
            size. A resumed run continues with what the object gives then.
        output: Folder to write to: new, empty, or that of a run to resume.
        recipe: As in `load_recipe`. By default, the paper's for the data set, such
            as `"cifar10-paper"`, or else `"finetune-paper"`, which keeps the model's
            image size.
        validation: As in `keras_crate.data.open_data`: a folder or a pair of arrays
            of validation images, or a share of the training images. By default,
            those of the data. For prepared batches: the same kinds, or a pair of
            arrays.
        limit: Number of training images, or None for all.
        class_names: Names of the classes, in the order of the labels. By
            default, those of the data. Integer labels in prepared batches
            without names are of the model's classes.
        **options: As in `RunOptions`: `seed`, `augment`, `pipeline`, `workers`,
            `tensorboard`, `wandb`, `callbacks`, `distribute`, `verbose`.

    Returns:
        As in `pretrain`.

    Raises:
        TrainingDiverged: If the loss becomes NaN or infinite.
        ValueError: If there is no such model, recipe or data, they do not fit,
            or the folder cannot be used.
        OSError: If the output cannot be written, or data cannot be downloaded.

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
    run_options = RunOptions(**options)
    with distributed(run_options.distribute) as devices:
        recipe = load_recipe(recipe_for_data(data) if recipe is None else recipe)
        keras.utils.set_random_seed(run_options.seed)
        begin = {"model": model_name(model), "weights": "given"}
        if are_prepared(data):
            if limit is not None:
                raise ValueError(
                    "`limit` is for images that the run reads, not for prepared batches."
                )
            model = open_trained(model, devices)
            batches = open_prepared(data, validation, class_names, model)
            recipe, left_out = batches.recipe(recipe, devices.shard[1])
            model = adapt_model(model, recipe, batches, batches.size)
            if left_out:
                run_options.say(f"The batches are used as they are, without {', '.join(left_out)}.")
            return train(model, batches, recipe, output, run_options, begin, devices)
        opened = open_data(
            data_of(data, recipe), validation=validation, class_names=class_names, limit=limit
        )
        model = open_trained(model, devices)
        opened = in_order_of(opened, getattr(model, "class_names", None))
        model = adapt_model(model, recipe, opened)
        return train(model, opened, recipe, output, run_options, begin, devices)


def recipe_for_data(data) -> str:
    """Returns the name of the paper's recipe for a data set, or for any data."""
    own = f"{data}-paper"
    return own if own in list_recipes() else "finetune-paper"
