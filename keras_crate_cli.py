"""The program `keras-crate`: runs a command and reports its errors.

This file is outside of the package, which imports Keras, so that `--help` and
`--version` answer at once. The commands are in `keras_crate/cli`.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import re
import shutil
import signal
import socket
import sys
import textwrap
import threading
import time
import warnings
from importlib import metadata

# Each backend has its own error and words.
_OF_MEMORY = re.compile(
    "MemoryError|RESOURCE_EXHAUSTED|ResourceExhausted|[Oo]ut of memory|can't allocate memory"
)
COMMANDS = {
    "demo": "look into a trained CRATE, fine-tune it, measure it and save it",
    "pretrain": "train a model from initial weights",
    "finetune": "fine-tune a trained model on other data",
    "recipes": "list the recipes to train by",
    "predict": "print the likeliest classes of images, or write them to a CSV file",
    "embed": "write a model's features of images to a file",
    "evaluate": "measure a model's accuracy on labelled images",
    "probe": "measure a model's features by k-NN and by a linear classifier",
    "measure": "measure coding rate and sparsity at every block of a model",
    "look": "draw what a model's heads attend to, and which objects it finds",
    "app": "start a web page that looks inside models",
    "weights": "list all variants",
    "verify": "download a variant, check its hashes, and print its fingerprint",
    "convert": "convert the authors' checkpoints to Keras, or back",
    "export": "write a model for ONNX, OpenVINO, LiteRT, TensorFlow or PyTorch",
    "push": "publish a model on the Hugging Face Hub",
    "pull": "download a model from the Hugging Face Hub",
    "completion": "print a script that completes commands and options in a shell",
}
# What a user can do after Ctrl-C. All files are written whole or not at all.
_AFTER_STOP = {
    "pretrain": "Every epoch that ended is kept. Repeat the command to go on after the last one.",
    "pull": "What was downloaded is kept. Repeat the command to go on.",
    "push": "The repository has its old files or all new ones. Repeat the command to be sure.",
}
_AFTER_STOP["finetune"] = _AFTER_STOP["pretrain"]
_PATIENCE = 5  # seconds


class _Stopped(KeyboardInterrupt):
    """Ctrl-C, or the signal to terminate."""


def main(words: list[str] | None = None) -> int:
    """Runs a command, and returns the exit status.

    It is 1 if an error was reported or files were left out, 130 after Ctrl-C, 143 after
    SIGTERM.
    """
    parser = argparse.ArgumentParser(
        prog="keras-crate",
        description="CRATE, the white-box transformer, in Keras 3.",
        epilog="\n".join(["commands:", *(f"  {k:12}{text}" for k, text in COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"keras-crate {metadata.version('keras-crate')}"
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("command", metavar="COMMAND", help="one of those below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="`COMMAND --help` lists them")
    parsed = parser.parse_args(words)
    if parsed.command not in COMMANDS:
        parser.error(_unknown_command(parsed.command))
    if hasattr(sys.stdout, "reconfigure"):  # escape what the terminal cannot show, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings(), _stoppable(_stopped(parsed.command)):
        warnings.showwarning = _show
        try:
            return run(parsed.command, parsed.arguments) or 0
        except (ValueError, OSError, ImportError) as error:
            print(f"keras-crate: error: {error}", file=sys.stderr)
            return 1
        except Exception as error:
            if not _OF_MEMORY.search(f"{type(error).__name__} {error}"):
                raise
            words = " ".join(str(error).split())[:200]
            print(
                "keras-crate: error: There is not enough memory. Use fewer images at a time, "
                f"smaller images or a smaller model. ({words or type(error).__name__})",
                file=sys.stderr,
            )
            return 1
        except _Stopped as stopped:
            print(_stopped(parsed.command), file=sys.stderr)
            return 128 + stopped.args[0]


def program() -> int:
    """Runs `main`, as the program `keras-crate`."""
    status = main()
    if status > 128:  # threads of compiled code may still run, and crash a normal end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def _stopped(command: str) -> str:
    kept = _AFTER_STOP.get(command, "Files that were complete are kept. Repeat the command.")
    return f"\nkeras-crate: stopped. {kept}"


@contextlib.contextmanager
def _stoppable(message: str):
    """Lets Ctrl-C and SIGTERM raise `_Stopped`, and ends the process if that does not end it.

    Libraries swallow exceptions in their callbacks, and compile for minutes without a look at
    signals. A thread, which the interpreter's own handler wakes, then ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number, frame):
        raise _Stopped(number)

    def end_in_any_case():
        with woken:  # to the end: a second signal would find it closed
            while (number := woken.recv(1)) and number[0] not in handlers:
                pass  # of a library's handler, such as that of SIGCHLD
            if number:
                time.sleep(_PATIENCE)
                if waker.fileno() != -1:  # else the command has ended
                    print(message, file=sys.stderr, flush=True)
                    os._exit(128 + number[0])

    woken, waker = socket.socketpair()
    waker.setblocking(False)
    before = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    threading.Thread(target=end_in_any_case, daemon=True).start()
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        waker.close()


def run(name: str, words: list[str]) -> int | None:
    """Runs a command. Errors are raised."""
    from keras_crate.backend import choose_backend

    no_backend = choose_backend()
    if no_backend:
        raise ImportError(no_backend)
    parser = parser_of(name)
    arguments, unknown = parser.parse_known_args(words)
    if unknown:
        from keras_crate.cli.arguments import unknown_argument

        parser.error(unknown_argument(unknown[0], arguments))
    return _module(name).run(arguments)


def parser_of(name: str) -> argparse.ArgumentParser:
    """Returns the parser of a command's arguments.

    The docstring of the command's file has its description, and after an empty
    line its examples.
    """
    command = _module(name)
    description, _, examples = command.__doc__.partition("\n\n")
    width = shutil.get_terminal_size().columns - 2  # as argparse has it
    parser = argparse.ArgumentParser(
        prog=f"keras-crate {name}",
        description=textwrap.fill(description, width, break_on_hyphens=False),
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    return parser


def _unknown_command(word: str) -> str:
    # Not by `keras_crate.checks`, which would import Keras.
    near = [name for name in COMMANDS if name.startswith(word)]
    near = near or difflib.get_close_matches(word, COMMANDS, n=2)
    question = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"there is no command {word!r}{question}\n`keras-crate --help` lists all."


def _module(name: str):
    return importlib.import_module(f"keras_crate.cli.{name}")


def _show(message, category, *_) -> None:
    print(f"keras-crate: warning: {message}", file=sys.stderr)
