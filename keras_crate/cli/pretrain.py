"""Trains a model by a recipe. The default is the recipe of the family's paper. A size, a new model
or a variant starts from initial weights. A file or a repository starts from its own weights. The
output folder has the recipe, the history and the model, and is updated after every epoch. To
resume an interrupted run after its last epoch, repeat the command.

    keras-crate pretrain crate_demo_mnist --data mnist5k --recipe digits-small
    keras-crate pretrain base --data photographs/ --set epochs=20
    keras-crate pretrain crate:128x4x4 --data cifar10 --patch 4
"""

from keras_crate.cli.training_run import add_training, options_of, recipe_of, report_run
from keras_crate.training import pretrain
from keras_crate.training.pretrain import recipe_for_model


def add_arguments(parser) -> None:
    parser.add_argument(
        "model", metavar="MODEL",
        help="a size (tiny, small, base, large, alpha-base, mae-base, ...), a new model such as "
        "crate:128x4x4 (width, depth, heads; also crate-alpha and crate-mae), a variant, a .keras "
        "file or hf://user/repository",
    )  # fmt: skip
    model = parser.add_argument_group("model")
    model.add_argument(
        "--patch", "--patch-size", dest="patch_size", type=int, metavar="PIXELS",
        help="side of the patches of a new model",
    )  # fmt: skip
    model.add_argument(
        "--channels",
        type=int,
        choices=(1, 3, 4),
        help="channels of a new model (default: those of the images)",
    )
    weights = model.add_mutually_exclusive_group()
    weights.add_argument(
        "--from-scratch", action="store_true", default=None, help="start from initial weights"
    )
    weights.add_argument(
        "--continue", dest="from_scratch", action="store_false", default=None,
        help="start from the weights of the variant, the file or the repository",
    )  # fmt: skip
    add_training(parser, "crate-pretrain")


def run(arguments) -> None:
    done = pretrain(
        arguments.model,
        arguments.data,
        arguments.output,
        recipe=recipe_of(arguments, recipe_for_model(arguments.model)),
        patch_size=arguments.patch_size,
        channels=arguments.channels,
        from_scratch=arguments.from_scratch,
        **options_of(arguments),
    )
    report_run(done)
