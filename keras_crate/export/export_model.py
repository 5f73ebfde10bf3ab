"""Models as files of other programs: SavedModel, ONNX, OpenVINO, LiteRT, PyTorch's programs."""

import contextlib
import dataclasses
import importlib
import io
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import keras

from keras_crate.extras import needed
from keras_crate.keras_internals import parts_of

BACKEND_NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


@dataclasses.dataclass(frozen=True)
class Way:
    """How a backend makes a format.

    Attributes:
        write: Called with the model, the format, the path, the images' spec
            and further options; writes the file.
        tools: Packages that it needs beside the backend.
    """

    write: Callable
    tools: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of `export_model`.

    Attributes:
        title: Its name for people.
        ending: Of its file; none of a folder.
        ways: By backend, how it is made. Others cannot make it.
        runtime: Module that runs it.
        load: How to load it in Python, and run it on `images`. `{path}` is the
            file, `{input}` the input's name.
        takes_half: Whether a model may compute in half precision.
        takes_int8: Whether a model may be quantised by Keras.
    """

    title: str
    ending: str
    ways: dict[str, Way]
    runtime: str
    load: str
    takes_half: bool = False
    takes_int8: bool = True


def _by_keras(model, format, path, images, **options):
    keras.Model.export(model, path, format=format, input_signature=[images], **options)


def _onnx_of_torch(model, format, path, images, **options):
    # Keras takes TorchScript for a free batch, which PyTorch has given up.
    import torch

    options.pop("verbose")  # a report beside the file
    program = torch.onnx.export(
        model,
        (_sample(images),),
        input_names=[images.name],
        dynamo=True,
        dynamic_shapes=[({0: _free_batch()} if images.shape[0] is None else {},)],
        verbose=False,
        **options,
    )
    program.save(path)


def _program_of_torch(model, format, path, images, **options):
    # Keras fixes the batch at 1 unless told.
    if images.shape[0] is None:
        options = {"dynamic_shapes": {0: _free_batch()}, **options}
    _by_keras(model, format, path, images, **options)


def _openvino_of_onnx(model, format, path, images, **options):
    # Keras' own fails under JAX, and under TensorFlow where a model is not fused;
    # under PyTorch it loses the input's name and shape.
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        check_format("onnx").write(model, "onnx", file, images, **options)
        network = openvino.Core().read_model(file)
        openvino.save_model(network, path, compress_to_fp16=False)


def _free_batch():
    import torch

    return torch.export.Dim("batch", min=1)


def _sample(images):
    # Two images: PyTorch takes an axis of length 1 for a constant.
    return keras.ops.ones((images.shape[0] or 2, *images.shape[1:]), images.dtype)


# All of them leave the batch free. What is not here was tried and fails: SavedModel
# from PyTorch needs torch_xla; LiteRT from JAX takes a fixed batch only, and from
# PyTorch (litert-torch 0.10) it computes something else than a CRATE-alpha.
FORMATS = {
    "tf_saved_model": Format(
        title="TensorFlow SavedModel",
        ending="",
        ways={"jax": Way(_by_keras, ("tensorflow",)), "tensorflow": Way(_by_keras)},
        runtime="tensorflow",
        load='model = tensorflow.saved_model.load("{path}"); outputs = model.serve(images)',
        takes_half=True,
    ),
    "onnx": Format(
        title="ONNX",
        ending=".onnx",
        ways={
            "jax": Way(_by_keras, ("jax2onnx",)),
            "tensorflow": Way(_by_keras, ("tf2onnx",)),
            "torch": Way(_onnx_of_torch, ("onnxscript",)),
        },
        runtime="onnxruntime",
        load='model = onnxruntime.InferenceSession("{path}"); '
        'outputs = model.run(None, {{"{input}": images}})[0]',
    ),
    "openvino": Format(
        title="OpenVINO",
        ending=".xml",
        ways={
            "jax": Way(_openvino_of_onnx, ("jax2onnx", "openvino")),
            "tensorflow": Way(_openvino_of_onnx, ("tf2onnx", "openvino")),
            "torch": Way(_openvino_of_onnx, ("onnxscript", "openvino")),
        },
        runtime="openvino",
        # Without the hint it computes in bfloat16 where the processor can.
        load='model = openvino.compile_model("{path}", "CPU", '
        '{{"INFERENCE_PRECISION_HINT": "f32"}}); outputs = model(images)[0]',
    ),
    "litert": Format(
        title="LiteRT",
        ending=".tflite",
        ways={"tensorflow": Way(_by_keras)},
        runtime="ai_edge_litert.interpreter",
        load='model = ai_edge_litert.interpreter.Interpreter("{path}").get_signature_runner(); '
        "outputs = model({input}=images)",
        takes_int8=False,
    ),
    "torch": Format(
        title="torch.export",
        ending=".pt2",
        ways={"torch": Way(_program_of_torch)},
        runtime="torch",
        load='model = torch.export.load("{path}").module(); outputs = model(images)',
        takes_half=True,
    ),
}


def export_model(
    model: keras.Model,
    path: str | os.PathLike,
    format: str = "tf_saved_model",
    *,
    verbose: bool | None = None,
    input_signature=None,
    **options,
) -> Path:
    """Writes a model's prediction for programs that know neither Keras nor this package.

    What is written takes batches of any size, for every format and backend in
    `FORMATS`. It appears at `path` whole or not at all, in place of what was
    there. `keras_crate.fuse` the model first: the same outputs with fewer
    multiplications.

    Args:
        model: A functional model of one input and one output. Of a `CRATEMAE`,
            its `encoder()`.
        path: File to write, whose ending is the format's: `.onnx`, `.xml`
            (OpenVINO, whose weights go beside it into `.bin`), `.tflite`,
            `.pt2`. For a SavedModel, a folder.
        format: `"tf_saved_model"`, `"onnx"`, `"openvino"`, `"litert"` or
            `"torch"`, as in `keras.Model.export`.
        verbose: Whether the tools may print and warn.
        input_signature: A list of one `keras.InputSpec`, to fix the batch or
            rename the input.
        **options: For the tool that writes: `opset_version` for ONNX and
            OpenVINO, and what `keras.Model.export` takes for the others.

    Returns:
        The path.

    Raises:
        ValueError: If the backend cannot make the format, the path does not
            suit it, the model has several inputs or outputs, or the format
            does not take its half precision or quantisation.
        ImportError: If a tool is not installed.

    Example:

    ```python
    export_model(keras_crate.fuse(model), "crate.onnx", "onnx")
    ```

    The numbers are the model's, in float32. OpenVINO computes in bfloat16 on
    CPUs that can, unless a model is compiled with
    `{"INFERENCE_PRECISION_HINT": "f32"}`.
    """
    way = check_format(format)
    path = check_path(path, format)
    images = _images(model, input_signature)
    _check_arithmetic(model, format)
    with contextlib.nullcontext() if verbose else _quiet():
        for tool in way.tools:
            under = BACKEND_NAMES[keras.backend.backend()]
            with needed(tool, f"Exporting {FORMATS[format].title} under {under} needs"):
                importlib.import_module(tool)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _in_place_of(path) as unfinished:
            way.write(model, format, unfinished, images, verbose=bool(verbose), **options)
    return path


def check_path(path: str | os.PathLike, format: str) -> Path:
    """The path that a format is to be written to.

    Args:
        path: File or folder.
        format: A key of `FORMATS`.

    Returns:
        The path.

    Raises:
        ValueError: If its ending is not the format's, or it is a folder or file that an
            export does not replace.
    """
    path, ending = Path(path), FORMATS[format].ending
    others = {known.ending for known in FORMATS.values() if known.ending}
    if ending and path.suffix != ending:
        raise ValueError(f'`path` must end in {ending} for format="{format}". Received: {path}')
    if not ending and path.suffix in {*others, ".keras"}:
        raise ValueError(
            f'`path` must be a folder for format="{format}", without the ending {path.suffix}. '
            f"Received: {path}"
        )
    if ending and path.is_dir():
        raise ValueError(f'`path` must be a file for format="{format}". Received a folder: {path}')
    weights = path.with_suffix(".bin")
    if format == "openvino" and weights.exists() and not path.exists():
        raise ValueError(
            f"The weights of `path` would replace {weights}, which belongs to something else. "
            f"Received: {path}"
        )
    if not ending and path.exists() and not _may_be_replaced(path):
        raise ValueError(
            "`path` must be a new or empty folder, or that of a SavedModel, which is replaced. "
            f"Received: {path}"
        )
    return path


def format_table() -> str:
    """Which backend makes which format, in Markdown."""
    rows = [("format", "ending", *BACKEND_NAMES.values()), ("---",) * (2 + len(BACKEND_NAMES))]
    for name, known in FORMATS.items():
        cells = ["any batch" if backend in known.ways else "-" for backend in BACKEND_NAMES]
        ending = f"`{known.ending}`" if known.ending else "a folder"
        rows.append((f'{known.title}, `"{name}"`', ending, *cells))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def check_format(format: str) -> Way:
    """How the running backend makes a format.

    Args:
        format: Should be a key of `FORMATS`.

    Returns:
        The way.

    Raises:
        ValueError: If it is none, or the backend cannot make it.
    """
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}. Received: {format!r}")
    backend, ways = keras.backend.backend(), FORMATS[format].ways
    if backend not in ways:
        raise ValueError(
            f'format="{format}" cannot be made by the backend {backend}. Backends that can: '
            f"{', '.join(ways)}. Save the model, and load and export it with KERAS_BACKEND="
            f"{list(ways)[-1]}"
        )
    return ways[backend]


def _images(model, input_signature):
    """Shape, dtype and name of the model's input."""
    ends = [len(getattr(model, name, None) or ()) for name in ("inputs", "outputs")]
    if not isinstance(model, keras.Model) or ends != [1, 1]:
        raise ValueError(
            "`model` must be a functional Keras model of one input and one output; of a masked "
            "autoencoder, `model.encoder()` is. Received: "
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


def _check_arithmetic(model, format):
    """Refuses what the format's tools or runtimes do not compute."""
    layers = parts_of(model, include_self=False)
    half = [layer.compute_dtype for layer in layers if "float16" in (layer.compute_dtype or "")]
    if half and not FORMATS[format].takes_half:
        raise ValueError(
            f'format="{format}" takes models that compute in float32. Received: a model that '
            f'computes in {half[0]}. Make it anew, with dtype="float32", and give it the weights: '
            "`model.get_weights()`, `set_weights`"
        )
    modes = {getattr(layer, "quantization_mode", None) for layer in layers} - {None}
    if "int4" in modes and format in ("onnx", "openvino"):
        raise ValueError(
            f'format="{format}" does not take int4, which its runtime refuses. Received: a model '
            "that Keras has quantised so; int8 can be exported"
        )
    if modes and not FORMATS[format].takes_int8:
        raise ValueError(
            f'format="{format}" does not take models that Keras has quantised. Export the model as '
            "it was before, with optimizations=[tensorflow.lite.Optimize.DEFAULT], which "
            "quantises its weights"
        )


def _may_be_replaced(folder: Path) -> bool:
    return folder.is_dir() and ((folder / "saved_model.pb").exists() or not any(folder.iterdir()))


@contextlib.contextmanager
def _in_place_of(path: Path):
    """Gives a path to write to; the file or folder, and files beside it, go to `path`'s place."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        # The file that the others belong to comes last.
        for part in sorted(Path(folder).iterdir(), key=lambda part: part == unfinished):
            target = path.parent / part.name
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(part, target)


@contextlib.contextmanager
def _quiet():
    """Hides progress and warnings of the tools, on which a user cannot act."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    unheard = io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(unheard),
            contextlib.redirect_stderr(unheard),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
