"""Trains a model from initial weights by a recipe, by default that of its family's paper. Writes
the recipe, and after every epoch the history and the model. The same command resumes an
interrupted run after its last epoch."""

from keras_crate.cli.training_run import add_training, options_of, recipe_of, report_run
from keras_crate.training import pretrain
from keras_crate.training.pretrain import recipe_for_model


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "model", nargs="?", metavar="MODEL",
        help="a size (tiny, small, base, large, alpha-base, mae-base, ...), a variant, or a "
        ".keras file to start from",
    )  # fmt: skip
    parser.add_argument("--model", dest="named", metavar="MODEL", help="MODEL, as an option")
    parser.add_argument(
        "--patch-size", type=int, metavar="PIXELS", help="side of the patches of a size"
    )
    add_training(parser, "crate-pretrain")


def run(arguments) -> None:
    """Runs the command."""
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
