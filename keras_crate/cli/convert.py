"""`keras-crate convert`: a checkpoint of the authors into a Keras file, and back."""

import json
from pathlib import Path

from keras_crate.cli.model_file import add_overwrite_to, new_file, report_written

_KERAS = ".keras"
_PYTORCH = (".safetensors", ".pth", ".pt")


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "convert",
        help="convert the authors' checkpoints to Keras, or back",
        description="Makes a .keras file of a checkpoint of the authors (PyTorch, safetensors, "
        "NumPy archive of JAX), or, where FILE is a .keras file, a checkpoint in the authors' "
        "PyTorch layout. No code from a file is run.",
    )
    parser.add_argument("file", metavar="FILE", help="what to convert")
    parser.add_argument(
        "out", metavar="OUT", help="to write to: .keras, or .safetensors, .pth or .pt"
    )
    parser.add_argument("--heads", type=int, help="where shapes do not tell")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another argument of the model's constructor, its value as JSON, such as penalty=0.5 "
        "or include_top=false; may be repeated",
    )
    add_overwrite_to(parser)
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    back = Path(arguments.file).suffix == _KERAS
    out = new_file(arguments, _PYTORCH if back else (_KERAS,))
    given = dict(_argument(words) for words in arguments.set)
    if arguments.heads is not None:
        given["heads"] = arguments.heads
    if back and given:
        raise ValueError(f"A .keras file knows its model. Received: {', '.join(given)}")
    from keras_crate.files import written_whole
    from keras_crate.hub import from_checkpoint, to_pytorch

    with written_whole(out) as unfinished:
        if back:
            from keras_crate.hub.open_model import open_model

            model, _ = open_model(arguments.file)
            to_pytorch(model, unfinished)
        else:
            try:
                model = from_checkpoint(arguments.file, **given)
            except TypeError as error:  # an argument that the constructor does not take
                raise ValueError(f"--set: {error}") from error
            model.save(unfinished)
    report_written(model, out)
    return 0


def _argument(words: str) -> tuple[str, object]:
    name, equals, value = words.partition("=")
    if not (name.isidentifier() and equals):
        raise ValueError(f"--set takes NAME=VALUE. Received: {words}")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
