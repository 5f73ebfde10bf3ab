"""Arguments that several commands take, and checks of them before work that takes long."""

from collections.abc import Callable, Sequence
from pathlib import Path

MODEL = "a .keras file, the name of a variant, or hf://user/repository"


def add_model(parser) -> None:
    """Adds the model."""
    parser.add_argument("model", metavar="MODEL", help=MODEL)


def add_images(parser) -> None:
    """Adds image files."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders")


def add_preparation(parser) -> None:
    """Adds how images are prepared, and how many at a time."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--resize", metavar="PIXELS", type=pixels, help="resize the shorter side to "
        "PIXELS, then cut out the centre; or `whole`: resize the whole image",
    )  # fmt: skip
    how.add_argument(
        "--crop", action="store_true", help="cut out the largest centre, then resize it"
    )
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")


def add_output(parser, default: str) -> None:
    """Adds the folder to write to."""
    parser.add_argument("--output", default=default, help="folder to write to (%(default)s)")


def add_new_file(parser, help: str) -> None:
    """Adds the file that `new_file` checks."""
    parser.add_argument("out", metavar="OUT", help=help)
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def add_named_values(parser, option: str, help: str) -> None:
    """Adds an option whose words `named_values` reads."""
    parser.add_argument(option, action="append", default=[], metavar="NAME=VALUE",
                        help=f"{help}; may be repeated")  # fmt: skip


def named_values(
    option: str, words: Sequence[str], read: Callable = lambda name, value: value
) -> dict:
    """Reads an option that was given as NAME=VALUE any number of times.

    Args:
        option: The option, for the error.
        words: What was given.
        read: Called with each name and its value's text; returns the value.

    Returns:
        The values by name.

    Raises:
        ValueError: If one has another form, or `read` refuses it.
    """
    values = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.strip() and equals):
            raise ValueError(f"{option} must be NAME=VALUE. Received: {word}")
        values[name.strip()] = read(name.strip(), value.strip())
    return values


def new_file(arguments, endings: Sequence[str], folder: bool = False) -> Path:
    """Returns the file that a command is to write.

    Args:
        arguments: The command line's.
        endings: Those that it may have.
        folder: Whether it may be a folder that exists, which is replaced.

    Raises:
        ValueError: If it ends otherwise, or exists and must not be replaced.
        OSError: If its folder does not exist, or it is a folder.
    """
    out = Path(arguments.out)
    if out.suffix not in endings:
        raise ValueError(f"OUT must end in {' or '.join(endings)}. Received: {out}")
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} exists. Pass --overwrite to replace it.")
    return out if folder and out.is_dir() else in_a_folder("OUT", out)


def in_a_folder(name: str, file: str | Path) -> Path:
    """Returns the path of a file to write.

    Raises:
        OSError: If it is a folder, or its folder does not exist.
    """
    file = Path(file)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise OSError(f"{name} must be a file in a folder that exists. Received: {file}")
    return file


def report_written(model, out: Path) -> None:
    """Prints which model was written, and where."""
    print(f"{type(model).__name__}, {model.count_params():,} parameters")
    print(f"wrote {out.resolve()}")


def pixels(word: str) -> int | str:
    """Reads `--resize`."""
    return word if word == "whole" else int(word)
