"""Converts a checkpoint of the authors' code (PyTorch, safetensors or a NumPy archive of JAX) to a
.keras file, or a .keras file to a checkpoint in the authors' PyTorch layout. No code from a file is
run.

    keras-crate convert crate_small.pth crate_small.keras --heads 12
    keras-crate convert model.keras weights.safetensors
"""

from pathlib import Path

from keras_crate.cli.arguments import (
    add_named_values,
    add_new_file,
    named_values,
    new_file,
    report_written,
)
from keras_crate.hub import from_checkpoint, to_pytorch
from keras_crate.hub.open_model import open_model
from keras_crate.models.saving import save_model
from keras_crate.reading import parse_value

_KERAS = ".keras"
_PYTORCH = (".safetensors", ".pth", ".pt")


def add_arguments(parser) -> None:
    parser.add_argument("file", metavar="FILE", help="file to convert")
    add_new_file(parser, "file to write: .keras, or .safetensors, .pth or .pt")
    parser.add_argument(
        "--heads",
        type=int,
        metavar="N",
        help="number of heads, if the checkpoint does not show it",
    )
    add_named_values(parser, "--set", "another argument of the model's constructor, with its "
                     "value as JSON, such as penalty=0.5 or include_top=false")  # fmt: skip


def run(arguments) -> None:
    to_keras = Path(arguments.file).suffix != _KERAS
    out = new_file(arguments, (_KERAS,) if to_keras else _PYTORCH)
    given = named_values("--set", arguments.set, parse_value)
    if arguments.heads is not None:
        given["heads"] = arguments.heads
    if given and not to_keras:
        raise ValueError(f"A .keras file has its own settings. Received: {', '.join(given)}")
    if to_keras:
        model = _from_checkpoint(arguments.file, given)
        save_model(model, out)
    else:
        model, _ = open_model(arguments.file)
        to_pytorch(model, out)
    report_written(model, out)


def _from_checkpoint(file: str, given: dict):
    try:
        return from_checkpoint(file, **given)
    except TypeError as error:  # an argument that the constructor does not take
        raise ValueError(f"--set: {error}") from error
