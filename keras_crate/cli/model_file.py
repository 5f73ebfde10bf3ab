"""The arguments that commands share: a model's file, images and a folder to write to."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Keras is imported when a command runs, after the backend is chosen
    import numpy as np

    from keras_crate.data import ImageFiles


def add_model_to(parser) -> None:
    """Adds the model to a command."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .keras file, the name of a variant, or hf://user/repository",
    )


def add_overwrite_to(parser) -> None:
    """Adds the option that `new_file` obeys to a command."""
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")


def new_file(arguments, endings: tuple[str, ...]) -> Path:
    """The file that a command is to write, before it does anything that takes long.

    Raises:
        ValueError: If it ends otherwise, or is there already and not to be replaced.
        OSError: If its folder does not exist.
    """
    out = Path(arguments.out)
    if out.suffix not in endings:
        raise ValueError(f"OUT must end in {' or '.join(endings)}. Received: {out}")
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} is there already. Pass --overwrite to replace it.")
    if not out.absolute().parent.is_dir():
        raise OSError(f"The folder of {out} does not exist.")
    return out


def report_written(model, out: Path) -> None:
    """Says what was written."""
    print(f"{type(model).__name__}, {model.count_params():,} parameters")
    print(f"wrote {out.resolve()}")


def add_files_to(parser, output: str) -> None:
    """Adds the model, the images' paths, the batch size and the output folder to a command."""
    add_model_to(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders")
    parser.add_argument("--output", default=output, help="folder to write to (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")


def load_model(address: str):
    """The model of a file, variant or repository; of a masked autoencoder, its encoder.

    Raises:
        ValueError: If there is none, or Keras cannot load it.
    """
    from keras_crate.hub.open_model import open_model
    from keras_crate.models import CRATEMAE

    model, _ = open_model(address)
    return model.encoder() if isinstance(model, CRATEMAE) else model


def image_files(arguments, model, size: int | None = None) -> "ImageFiles":
    """The images of the command line, as the model takes them or of `size` pixels a side."""
    from keras_crate.data import ImageFiles

    data_format = _data_format(model)
    shape = list(model.input_shape[1:])
    if size is not None:
        rows = 1 if data_format == "channels_first" else 0
        shape[rows : rows + 2] = [size, size]
    return ImageFiles(arguments.images, tuple(shape), arguments.batch_size, data_format)


def _data_format(model) -> str:
    """The model's; a model that is not of the package is taken for channels last."""
    return getattr(getattr(model, "settings", None), "data_format", None) or "channels_last"


def image_array(paths: list[str], model) -> "np.ndarray":
    """All images of files and folders, as the model takes them.

    Raises:
        ValueError: If one is broken.
    """
    import numpy as np

    from keras_crate.data import ImageFiles

    images = ImageFiles(paths, tuple(model.input_shape[1:]), data_format=_data_format(model))
    batches = list(images)
    for file, reason in images.broken.items():
        raise ValueError(f"{file} cannot be read: {reason}")
    return np.concatenate(batches)


def output_folder(path: str) -> Path:
    """The folder to write to, made."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"The output folder {folder} cannot be made ({error.strerror}).") from error
    return folder


def report_broken(images: "ImageFiles") -> int:
    """Says which files were left out; the exit status: 1 if any was."""
    for file, reason in images.broken.items():
        print(f"keras-crate: left out {file}: {reason}", file=sys.stderr)
    return 1 if images.broken else 0
