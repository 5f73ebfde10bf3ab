"""Looks into a trained CRATE that ships with the package, fine-tunes it to digits, measures
coding rate and sparsity at every layer, and writes the model, a repository of the Hub, numbers
and figures. With `--from-scratch`, trains a small CRATE on 5,000 MNIST digits instead."""

import dataclasses

from keras_crate.cli.arguments import add_output
from keras_crate.training import demo, demo_from_scratch


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    add_output(parser, "crate-demo")
    parser.add_argument(
        "--from-scratch", action="store_true", help="train from initial weights, in minutes"
    )
    parser.add_argument("--fast", action="store_true", help="a shorter training, of fewer epochs")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (%(default)s)")


def run(arguments) -> None:
    """Runs the command."""
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
