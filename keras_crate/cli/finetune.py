"""`keras-crate finetune`: a trained model, trained on other data."""

from keras_crate.cli.training_options import add_training_to, options_of, recipe_of, report_run


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "finetune",
        help="train a trained model on other data",
        description="Trains a copy of a model on other data by a recipe, with a new head where "
        "the classes differ. Writes the resolved recipe, the history, and after every epoch the "
        "model. Cut off and started again, it goes on from its last epoch.",
    )
    parser.add_argument(
        "--weights", required=True, metavar="MODEL",
        help="a .keras file, the name of a variant, or hf://user/repository",
    )  # fmt: skip
    add_training_to(parser, "crate-finetune")
    parser.set_defaults(run=run)


def run(arguments) -> None:
    """Runs the command."""
    from keras_crate.training import finetune
    from keras_crate.training.finetune import recipe_for_data

    done = finetune(
        arguments.weights,
        arguments.data,
        arguments.output,
        recipe=recipe_of(arguments, recipe_for_data(arguments.data)),
        **options_of(arguments),
    )
    report_run(done)
