"""`keras-crate`: finds the command and reports errors."""

import argparse
import sys

from keras_crate import __version__
from keras_crate.backend import choose_backend
from keras_crate.cli import (
    convert,
    demo,
    evaluate,
    export,
    finetune,
    look,
    measure,
    predict,
    pretrain,
    pull,
    push,
    recipes,
    verify,
    weights,
)

COMMANDS = (
    demo, pretrain, finetune, recipes, predict, evaluate, measure, look, weights, verify, convert,
    export, push, pull,
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: Words of the command line; by default the process'.

    Returns:
        The exit status: 0, or 1 after an error, which is told in one line, or
        where something was left out.
    """
    parser = argparse.ArgumentParser(
        prog="keras-crate", description="CRATE, the white-box transformer, in Keras 3."
    )
    parser.add_argument("--version", action="version", version=f"keras-crate {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_to(commands)
    parsed = parser.parse_args(arguments)
    no_backend = choose_backend()
    if no_backend:
        return _fail(no_backend)
    try:
        return parsed.run(parsed) or 0
    except (ValueError, OSError, ImportError) as error:
        return _fail(error)


def _fail(error) -> int:
    print(f"keras-crate: error: {error}", file=sys.stderr)
    return 1
