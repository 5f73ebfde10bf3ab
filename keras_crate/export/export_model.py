"""Writes a model for programs that use neither Keras nor this package."""

import contextlib
import importlib
import io
import logging
import os
import warnings
from pathlib import Path

import keras

from keras_crate.export.formats import ADVICE, BACKEND_NAMES, FORMATS, check_format
from keras_crate.extras import needed
from keras_crate.files import bytes_of, written_whole
from keras_crate.keras_internals import parts_of

# What TensorFlow and Keras write into the folder of a SavedModel.
_SAVED_MODEL = {
    "saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "variables", "assets", "assets.extra",
}  # fmt: skip

# Bytes that a program takes beside its weights, at most. PyTorch ends the process if the disk gets
# full while it writes.
_PROGRAM = 1 << 20


def export_model(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    *,
    verbose: bool | None = None,
    input_signature=None,
    **options,
) -> Path:
    """Writes a model for programs that use neither Keras nor this package.

    The exported model takes batches of any size, in every format. Its outputs are
    the model's, in float32. The file is written whole or not at all, and replaces
    an existing one. Apply `keras_crate.fuse` first: a fused model needs fewer
    multiplications.

    On CPUs with bfloat16, OpenVINO computes in bfloat16 unless a model is compiled
    with `{"INFERENCE_PRECISION_HINT": "f32"}`.

    Args:
        model: A functional model with one input and one output. For a
            `CRATEMAE`, pass its `encoder()`.
        path: File to write, with the format's ending: `.onnx`, `.xml` (OpenVINO,
            whose weights go beside it into `.bin`), `.tflite` or `.pt2`. For a
            SavedModel, a folder.
        format: `"tf_saved_model"`, `"onnx"`, `"openvino"`, `"litert"` or
            `"torch"`, as in `keras.Model.export`.
        verbose: Whether the tools may print and warn.
        input_signature: A list of one `keras.InputSpec`, to fix the batch or
            rename the input.
        **options: Passed to the tool that writes: `opset_version` for ONNX and
            OpenVINO, and what `keras.Model.export` takes for the others.

    Returns:
        The path.

    Raises:
        ValueError: If the backend cannot make the format, the path has another
            ending, the model has several inputs or outputs, or the format does
            not support the model's half precision or quantisation.
        ImportError: If a tool is not installed.

    Example:

    ```python
    export_model(keras_crate.fuse(model), "crate.onnx", "onnx")
    ```
    """
    writer = check_format(format)
    path = check_path(path, format)
    images = _input_spec(model, input_signature)
    _check_size(images, format)
    _check_arithmetic(model, format)
    with contextlib.nullcontext() if verbose else _quiet():
        backend = BACKEND_NAMES[keras.backend.backend()]
        for tool in writer.tools:
            with needed(tool, f"Exporting {FORMATS[format].title} under {backend} needs"):
                importlib.import_module(tool)
        size = _PROGRAM + bytes_of(model.weights)
        with written_whole(path, folder=not FORMATS[format].ending, size=size) as unfinished:
            writer.write(model, unfinished, images, verbose=bool(verbose), **options)
    return path


def check_path(path: str | os.PathLike, format: str) -> Path:
    """Returns the path, if it has the format's ending and an export may replace what is there."""
    path, ending = Path(path), FORMATS[format].ending
    endings = {".keras", *(known.ending for known in FORMATS.values() if known.ending)}
    weights = path.with_suffix(".bin")
    if ending and path.suffix != ending:
        problem = f"must end in {ending}"
    elif ending and path.is_dir():
        problem = "must not be a folder"
    elif format == "openvino" and weights.exists() and not path.exists():
        problem = f"must be another, since its weights would replace {weights}"
    elif not ending and path.suffix in endings:
        problem = f"must be a folder, without the ending {path.suffix}"
    elif not ending and path.exists() and not _may_be_replaced(path):
        problem = "must be a new or empty folder, or that of a SavedModel without other files"
    else:
        return path
    raise ValueError(f'`path` {problem}, for format="{format}". Received: {path}')


def _may_be_replaced(folder):
    if not folder.is_dir():
        return False
    found = {path.name for path in folder.iterdir()}
    return not found or ("saved_model.pb" in found and found <= _SAVED_MODEL)


def _input_spec(model, input_signature):
    """Shape, dtype and name of the model's input."""
    ends = [len(getattr(model, name, None) or ()) for name in ("inputs", "outputs")]
    if not isinstance(model, keras.Model) or ends != [1, 1]:
        raise ValueError(
            "`model` must be a functional Keras model with one input and one output. For a masked "
            "autoencoder, pass `model.encoder()`. Received: "
            f"{type(model).__name__} {getattr(model, 'name', '')!r}"
        )
    inputs = model.inputs[0]
    given = keras.tree.flatten(input_signature) if input_signature is not None else [inputs]
    if len(given) != 1 or len(given[0].shape or ()) != len(inputs.shape):
        raise ValueError(
            f"`input_signature` must hold one input of rank {len(inputs.shape)}. "
            f"Received: {input_signature}"
        )
    name = getattr(given[0], "name", None) or inputs.name
    dtype = keras.backend.standardize_dtype(given[0].dtype or inputs.dtype)
    return keras.InputSpec(shape=tuple(given[0].shape), dtype=dtype, name=name)


def _check_size(images, format):
    """Refuses images of any size where a tool would fix the size or fail."""
    if None in images.shape[1:]:
        if format == "tf_saved_model" and keras.backend.backend() == "tensorflow":
            return
        raise ValueError(
            "A model for images of any size can be exported to a SavedModel under TensorFlow only. "
            f'Received: format="{format}" and images of shape {images.shape[1:]}. Export a copy '
            "for one size: `model.with_input_shape((224, 224, 3))`."
        )


def _check_arithmetic(model, format):
    """Refuses a precision or quantisation that the format's tools do not support."""
    layers = parts_of(model, include_self=False)
    found = {getattr(layer, "quantization_mode", None) for layer in layers} - {None}
    if found:
        found.add("quantised layers")
    if any("float16" in (layer.compute_dtype or "") for layer in layers):
        found.add("half precision")
    for kind in FORMATS[format].refuses:
        if kind in found:
            raise ValueError(f'format="{format}" does not take models with {kind}. {ADVICE[kind]}')


@contextlib.contextmanager
def _quiet():
    """Hides output and warnings of the tools, which are of no use to the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
