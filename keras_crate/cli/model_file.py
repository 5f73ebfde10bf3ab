"""The arguments that commands share: a model's file, images and a folder to write to."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Keras is imported when a command runs, after the backend is chosen
    from keras_crate.data import ImageFiles


def add_files_to(parser, output: str) -> None:
    """Adds the model, the images' paths, the batch size and the output folder to a command."""
    parser.add_argument("model", help="a .keras file")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files, and folders")
    parser.add_argument("--output", default=output, help="folder to write to (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")


def load_model(path: str):
    """The model in a file; of a masked autoencoder, which hides patches, its encoder.

    Raises:
        ValueError: If there is no such file, or Keras cannot load it.
    """
    import keras

    from keras_crate.models import CRATEMAE  # and all layers and models, for Keras to find

    if not Path(path).exists():
        raise ValueError(f"There is no model file {path}.")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # zip, HDF5 and Keras each raise their own
        raise ValueError(f"The model {path} cannot be loaded: {error}") from error
    return model.encoder() if isinstance(model, CRATEMAE) else model


def image_files(arguments, model, size: int | None = None) -> "ImageFiles":
    """The images of the command line, as the model takes them or of `size` pixels a side."""
    from keras_crate.data import ImageFiles

    data_format = getattr(getattr(model, "settings", None), "data_format", None)
    shape = list(model.input_shape[1:])
    if size is not None:
        rows = 1 if data_format == "channels_first" else 0
        shape[rows : rows + 2] = [size, size]
    return ImageFiles(
        arguments.images, tuple(shape), arguments.batch_size, data_format or "channels_last"
    )


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
