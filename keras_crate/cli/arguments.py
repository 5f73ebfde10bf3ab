"""Arguments that several commands share, and their checks."""

from collections.abc import Callable, Sequence
from pathlib import Path

from keras_crate.checks import argument_names, did_you_mean
from keras_crate.data.image_sources import SPLITS
from keras_crate.training import Recipe

MODEL = (
    "a .keras file, a variant such as mnist, hf://user/repository, or a folder with the files of a "
    "repository"
)


def add_model(parser) -> None:
    """Adds the argument MODEL."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)


def add_images(parser) -> None:
    """Adds the argument IMAGE, once or more."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files and folders")


def add_preparation(parser) -> None:
    """Adds `--resize`, `--crop` and `--batch-size`."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resize", metavar="PIXELS", type=pixels, help="resize the shorter side to "
        "PIXELS, then crop the centre; or `whole`: resize the whole image",
    )  # fmt: skip
    how.add_argument(
        "--crop",
        action="store_true",
        help="crop the centre to the model's aspect ratio, then resize",
    )
    parser.add_argument("--batch-size", type=int, default=32, metavar="N",
                        help="images at a time (default: %(default)s)")  # fmt: skip


def add_split(parser) -> None:
    """Adds `--split`."""
    parser.add_argument(
        "--split", choices=SPLITS, help="images to measure on (default: test if there are some, "
        "else validation)",
    )  # fmt: skip


def add_output(parser, default: str) -> None:
    """Adds `--output`, the folder to write to."""
    parser.add_argument("--output", default=default, metavar="FOLDER",
                        help="folder to write to (default: %(default)s)")  # fmt: skip


def add_seed(parser) -> None:
    """Adds `--seed`."""
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="seed of all random numbers (default: %(default)s)")  # fmt: skip


def add_new_file(parser, help: str) -> None:
    """Adds the argument OUT and `--overwrite`, which `new_file` reads."""
    parser.add_argument("out", metavar="OUT", help=help)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def add_named_values(parser, option: str, help: str) -> None:
    """Adds an option NAME=VALUE, which `named_values` reads."""
    parser.add_argument(option, action="append", default=[], metavar="NAME=VALUE",
                        help=f"{help}; may be repeated")  # fmt: skip


def named_values(
    option: str, words: Sequence[str], read: Callable = lambda name, value: value
) -> dict:
    """Reads an option that was given as NAME=VALUE any number of times."""
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.strip() and equals):
            raise ValueError(f"{option} must be NAME=VALUE. Received: {word}")
        values[name.strip()] = read(name.strip(), value.strip())
    return values


def unknown_argument(word: str, arguments) -> str:
    """Returns the error for an argument that a command does not have."""
    name = word.lstrip("-").partition("=")[0].replace("-", "_")
    if hasattr(arguments, "set") and name in argument_names(Recipe):
        return f"{word} is a setting of the recipe. Pass it as --set {name}=VALUE"
    options = [f"--{name.replace('_', '-')}" for name in vars(arguments)]
    return f"there is no argument {word}{did_you_mean(word, options)}"


def new_file(arguments, endings: Sequence[str], folder: bool = False, name: str = "OUT") -> Path:
    """Returns the path of the file that a command will write.

    Args:
        arguments: The command line's arguments.
        endings: The endings that the file may have.
        folder: Whether the path may be an existing folder, which is replaced.
        name: The argument, for the error.
    """
    out = Path(arguments.out)
    if out.suffix not in endings:
        raise ValueError(f"{name} must end in {' or '.join(endings)}. Received: {out}")
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} exists. Pass --overwrite to replace it.")
    return out if folder and out.is_dir() else in_a_folder(name, out)


def in_a_folder(name: str, file: str | Path) -> Path:
    """Returns the path of a file that will be written."""
    file = Path(file)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise OSError(f"{name} must be a file in a folder that exists. Received: {file}")
    return file


def report_written(model, out: Path) -> None:
    """Prints the model's class and size, and the path it was written to."""
    print(f"{type(model).__name__}, {model.count_params():,} parameters")
    print(f"wrote {out.resolve()}")


def pixels(word: str) -> int | str:
    """Reads `--resize`."""
    return word if word == "whole" else int(word)
