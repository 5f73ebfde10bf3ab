"""Fine-tunes a copy of a model on other data by a recipe, with a new head if the classes differ.
The output folder has the recipe, the history and the model, and is updated after every epoch. To
resume an interrupted run after its last epoch, repeat the command.

    keras-crate finetune --weights mnist --data digits --recipe digits-small
    keras-crate finetune --weights model.keras --data photographs/ --set epochs=20
"""

from keras_crate.cli.arguments import MODEL
from keras_crate.cli.training_run import add_training, options_of, recipe_of, report_run
from keras_crate.training import finetune
from keras_crate.training.finetune import recipe_for_data


def add_arguments(parser) -> None:
    parser.add_argument("--weights", required=True, metavar="MODEL", help=MODEL)
    add_training(parser, "crate-finetune")


def run(arguments) -> None:
    done = finetune(
        arguments.weights,
        arguments.data,
        arguments.output,
        recipe=recipe_of(arguments, recipe_for_data(arguments.data)),
        **options_of(arguments),
    )
    report_run(done)
