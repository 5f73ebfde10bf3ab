"""Looks into a trained CRATE that ships with the package, fine-tunes it to digits, measures
coding rate and sparsity at every layer, and writes the model, a repository of the Hub, numbers
and figures. With --from-scratch, trains a small CRATE on 4,000 MNIST digits instead.

    keras-crate demo --fast
    keras-crate demo --from-scratch --output my-demo
"""

import dataclasses

from keras_crate.cli.arguments import add_output, add_seed
from keras_crate.training import demo, demo_from_scratch


def add_arguments(parser) -> None:
    add_output(parser, "crate-demo")
    parser.add_argument(
        "--from-scratch", action="store_true", help="train from initial weights, in minutes"
    )
    parser.add_argument("--fast", action="store_true", help="train for fewer epochs")
    parser.add_argument("--epochs", type=int, metavar="N",
                        help="passes over the training images")  # fmt: skip
    add_seed(parser)


def run(arguments) -> None:
    output, epochs, seed = arguments.output, arguments.epochs, arguments.seed
    if arguments.from_scratch:
        recipe = demo_from_scratch.FAST if arguments.fast else demo_from_scratch.FULL
        if epochs is not None:
            recipe = dataclasses.replace(recipe, epochs=epochs)
        demo_from_scratch.run_demo_from_scratch(output, recipe, seed=seed)
        return
    if epochs is None:
        epochs = demo.FAST_EPOCHS if arguments.fast else demo.EPOCHS
    demo.run_demo(output, epochs, seed)
