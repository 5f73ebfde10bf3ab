"""Looks into a trained CRATE that ships with the package, fine-tunes it to digits, measures
coding rate and sparsity at every layer, and writes the model, a repository of the Hub, numbers
and figures.

    keras-crate demo --fast
"""

from keras_crate.cli.arguments import add_output, add_seed
from keras_crate.training import demo


def add_arguments(parser) -> None:
    add_output(parser, "crate-demo")
    parser.add_argument("--fast", action="store_true", help="train for fewer epochs")
    parser.add_argument("--epochs", type=int, metavar="N",
                        help="passes over the training images")  # fmt: skip
    add_seed(parser)


def run(arguments) -> None:
    epochs = arguments.epochs
    if epochs is None:
        epochs = demo.FAST_EPOCHS if arguments.fast else demo.EPOCHS
    demo.run_demo(arguments.output, epochs, arguments.seed)
