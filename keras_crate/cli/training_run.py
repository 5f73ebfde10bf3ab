"""Arguments that the training commands share."""

from keras_crate.cli.arguments import add_named_values, add_output, add_seed, named_values
from keras_crate.training.recipe import Recipe, load_recipe, parse_value

_OPTIONS = (
    "validation",
    "limit",
    "seed",
    "pipeline",
    "workers",
    "tensorboard",
    "wandb",
    "distribute",
)


def add_training(parser, output: str) -> None:
    """Adds the shared arguments to a parser."""
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="DATA", help="a set such as cifar10, a folder with one folder for each "
        "class or with arrays, or huggingface:NAME (default: the recipe's)",
    )  # fmt: skip
    data.add_argument(
        "--validation", type=_share_or_folder, metavar="FOLDER|SHARE",
        help="validation images, or the share of the training images to cut off for them; 0 for "
        "none (default: those of the data, or 0.1 if the data have only test images)",
    )  # fmt: skip
    data.add_argument("--limit", type=int, metavar="N", help="use only N training images")
    data.add_argument(
        "--pipeline", choices=("auto", "tf.data", "pydataset"), default="auto",
        help="what makes the batches (default: tf.data if TensorFlow is installed)",
    )  # fmt: skip
    data.add_argument("--workers", type=int, metavar="N",
                      help="threads that read images (default: one for each core)")  # fmt: skip
    run = parser.add_argument_group("run")
    run.add_argument("--recipe", metavar="RECIPE", help="a name (`keras-crate recipes` lists "
                     "them), a .toml file, or the recipe.json of a run")  # fmt: skip
    add_named_values(run, "--set", "a setting of the recipe to change, such as epochs=20")
    add_output(run, output)
    add_seed(run)
    run.add_argument(
        "--distribute", metavar="auto|data|model:N",
        help="train on all devices: data divides each batch among them; auto does so if there are "
        "several; model:N also divides the weights among N devices (JAX only)",
    )  # fmt: skip
    run.add_argument("--tensorboard", action="store_true", help="also write logs for TensorBoard")
    run.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases")


def _share_or_folder(word: str) -> float | str:
    """Reads `--validation`."""
    try:
        return float(word)
    except ValueError:
        return word


def options_of(arguments) -> dict:
    """Returns the options that `pretrain` and `finetune` share."""
    return {name: getattr(arguments, name) for name in _OPTIONS}


def recipe_of(arguments, default: str) -> Recipe:
    """Returns the recipe that the arguments name, with the settings of `--set`."""
    settings = named_values("--set", arguments.set, parse_value)
    return load_recipe(arguments.recipe or default, **settings)


def report_run(run) -> None:
    """Prints the accuracy and the files of a run, in the process that wrote them."""
    if run.process:
        return
    if "val_accuracy" in run.metrics:
        print(
            f"validation accuracy {run.metrics['val_accuracy']:.2%}, best "
            f"{run.metrics['best_val_accuracy']:.2%} after epoch {run.metrics['best_epoch']}"
        )
    if "test_accuracy" in run.metrics:
        print(
            f"test accuracy {run.metrics['test_accuracy']:.2%} of {run.metrics['test_of']} on "
            f"{run.metrics['test_images']:,} images"
        )
    names = sorted(path.name for path in run.folder.iterdir())
    print(f"wrote {run.folder.resolve()}: {', '.join(names)}")
