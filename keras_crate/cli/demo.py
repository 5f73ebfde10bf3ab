"""Trains a small CRATE on 5,000 MNIST digits, measures coding rate and sparsity at every layer,
and writes the model, the numbers and a figure."""

import dataclasses

from keras_crate.cli.arguments import add_output
from keras_crate.training import demo


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    add_output(parser, "crate-demo")
    parser.add_argument("--fast", action="store_true", help="a shorter training of 20 seconds")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (%(default)s)")


def run(arguments) -> None:
    """Runs the command."""
    recipe = demo.FAST if arguments.fast else demo.FULL
    if arguments.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    demo.run_demo(arguments.output, recipe, seed=arguments.seed)
