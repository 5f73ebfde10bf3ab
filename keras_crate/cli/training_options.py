"""What the commands that train share: the recipe, its settings, and where the run goes."""


def add_training_to(parser, output: str) -> None:
    """Adds the options to a command."""
    parser.add_argument("--recipe", metavar="RECIPE", help="a name (`keras-crate recipes` lists "
                        "them), a .toml file, or the recipe.json of a run")  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="a setting of the recipe to change, such as epochs=20; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--data", metavar="DATA", help="a set such as cifar10, a folder with one folder of images "
        "a class, or huggingface:NAME (the recipe's)",
    )  # fmt: skip
    parser.add_argument("--validation", metavar="FOLDER", help="to measure on instead")
    parser.add_argument("--limit", type=int, metavar="N", help="train on N of the images")
    parser.add_argument("--output", default=output, help="folder of the run (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all chance (%(default)s)")
    parser.add_argument(
        "--pipeline", choices=("auto", "tf.data", "pydataset"), default="auto",
        help="what makes the batches (tf.data, where TensorFlow is installed)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, help="threads that read images (one a core)")
    parser.add_argument("--tensorboard", action="store_true", help="write its records too")
    parser.add_argument("--wandb", metavar="PROJECT", help="record in Weights & Biases too")


def options_of(arguments) -> dict:
    """The arguments of `pretrain` and `finetune` that they share.

    Raises:
        ValueError: If a setting is none, or out of range.
    """
    names = ("validation", "limit", "seed", "pipeline", "workers", "tensorboard", "wandb")
    return {name: getattr(arguments, name) for name in names}


def recipe_of(arguments, usual: str):
    """The recipe with the settings that were asked for.

    Args:
        arguments: The command line's.
        usual: The recipe if none is named.
    """
    from keras_crate.training.recipe import load_recipe, parse_value

    settings = {}
    for text in arguments.settings:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"A setting must be NAME=VALUE, such as epochs=20. Received: {text!r}")
        settings[name.strip()] = parse_value(name.strip(), value)
    return load_recipe(arguments.recipe or usual, **settings)


def report_run(run) -> None:
    """Says what came out."""
    if "val_accuracy" in run.metrics:
        print(
            f"held-out accuracy {run.metrics['val_accuracy']:.2%}, best "
            f"{run.metrics['best_val_accuracy']:.2%} after epoch {run.metrics['best_epoch']}"
        )
    print(
        f"wrote {run.folder.resolve()}: " + ", ".join(sorted(p.name for p in run.folder.iterdir()))
    )
