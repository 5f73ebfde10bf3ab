"""`keras-crate pretrain`: a model trained from the beginning."""

from keras_crate.cli.training_options import add_training_to, options_of, recipe_of, report_run


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "pretrain",
        help="train a model from the beginning",
        description="Trains a model from initial values by a recipe, that of its family's paper "
        "if none is named. Writes the resolved recipe, the history, and after every epoch the "
        "model. Cut off and started again, it goes on from its last epoch.",
    )
    parser.add_argument(
        "model", nargs="?", metavar="MODEL",
        help="a size (tiny, small, base, large, alpha-base, mae-base, ...), a variant, or a "
        ".keras file to begin with",
    )  # fmt: skip
    parser.add_argument("--model", dest="named", metavar="MODEL", help="the same")
    parser.add_argument("--patch-size", type=int, metavar="PIXELS", help="of a size")
    add_training_to(parser, "crate-pretrain")
    parser.set_defaults(run=run)


def run(arguments) -> None:
    """Runs the command."""
    from keras_crate.training import pretrain
    from keras_crate.training.pretrain import recipe_for_model

    if (arguments.model is None) == (arguments.named is None):
        raise ValueError("Name one MODEL, such as `keras-crate pretrain base --data FOLDER`.")
    model = arguments.model or arguments.named
    done = pretrain(
        model,
        arguments.data,
        arguments.output,
        recipe=recipe_of(arguments, recipe_for_model(model)),
        patch_size=arguments.patch_size,
        **options_of(arguments),
    )
    report_run(done)
