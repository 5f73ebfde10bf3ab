"""`keras-crate demo`: a small CRATE trained, measured and saved."""

import dataclasses


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="train a small CRATE on real images, measure it and save it",
        description="Trains a small CRATE on 5,000 MNIST digits, measures coding rate and "
        "sparsity at every layer, and writes the model, the numbers and a figure.",
    )
    parser.add_argument("--output", default="crate-demo", help="folder to write to (%(default)s)")
    parser.add_argument("--fast", action="store_true", help="a taste in some 20 seconds")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="seed of all chance (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments) -> None:
    """Runs the command."""
    from keras_crate.training import demo

    recipe = demo.FAST if arguments.fast else demo.FULL
    if arguments.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    demo.run_demo(arguments.output, recipe, seed=arguments.seed)
