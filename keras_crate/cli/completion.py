"""Prints a script with which a shell completes commands and options at the Tab key. For bash, write
it to a file and add `source FILE` to ~/.bashrc. For zsh, write it to a file `_keras-crate` in a
folder of `fpath`.

    keras-crate completion bash > ~/.keras-crate.bash
    keras-crate completion zsh > ~/.zfunc/_keras-crate
"""

import argparse

from keras_crate.extras import needed
from keras_crate_cli import COMMANDS, parser_of


def add_arguments(parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")


def run(arguments) -> None:
    with needed("shtab", "Completion in a shell needs"):
        import shtab

    program = argparse.ArgumentParser(prog="keras-crate")
    commands = program.add_subparsers()
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, parents=[parser_of(name)], add_help=False, help=text)
        for action in command._actions:
            if action.type is None and action.choices is None and action.nargs != 0:
                # What is no number or choice may be a file.
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(program, arguments.shell))
