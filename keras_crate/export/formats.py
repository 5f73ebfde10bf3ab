"""The formats of `export_model`, and which backend makes them."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from keras_crate.checks import check_choice
from keras_crate.export.writers import by_keras, onnx_by_torch, openvino_from, program_by_torch

BACKEND_NAMES = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


class Writer(NamedTuple):
    """How a backend makes a format."""

    write: Callable  # called with the model, the path, the images' spec and options
    tools: tuple[str, ...] = ()  # packages that it needs besides the backend


class Format(NamedTuple):
    """A format of `export_model`."""

    title: str  # for people
    ending: str  # of its file; empty for a folder
    writers: dict[str, Writer]  # by backend; other backends cannot make it
    runtime: str  # the module that runs it
    load: str  # code that loads `{path}` and runs it on `images`; `{input}` is the input's name
    refuses: tuple[str, ...] = ()  # keys of `ADVICE`: what the tools or the runtime do not support


# What to do if a format refuses a model, by the reason.
ADVICE = {
    "half precision": 'Make the model again with dtype="float32", and copy the weights to it with '
    "`set_weights(model.get_weights())`",
    "int4": "Quantise it to int8 instead",
    "quantised layers": "Export the model as it was before, with "
    "optimizations=[tensorflow.lite.Optimize.DEFAULT], which quantises its weights",
}

# Each writer leaves the batch size free. Other writers were tried and do not work:
# SavedModel from PyTorch needs torch_xla, LiteRT from JAX has a fixed batch size, and
# LiteRT from PyTorch (litert-torch 0.10) computes wrong outputs for CRATE-alpha.
FORMATS = {
    "tf_saved_model": Format(
        title="TensorFlow SavedModel",
        ending="",
        writers={
            "jax": Writer(by_keras("tf_saved_model"), ("tensorflow",)),
            "tensorflow": Writer(by_keras("tf_saved_model")),
        },
        runtime="tensorflow",
        load='model = tensorflow.saved_model.load("{path}"); outputs = model.serve(images)',
    ),
    "onnx": Format(
        title="ONNX",
        ending=".onnx",
        writers={
            "jax": Writer(by_keras("onnx"), ("jax2onnx",)),
            "tensorflow": Writer(by_keras("onnx"), ("tf2onnx",)),
            "torch": Writer(onnx_by_torch, ("onnxscript",)),
        },
        runtime="onnxruntime",
        load='model = onnxruntime.InferenceSession("{path}"); '
        'outputs = model.run(None, {{"{input}": images}})[0]',
        refuses=("half precision", "int4"),
    ),
    "openvino": Format(
        title="OpenVINO",
        ending=".xml",
        writers={
            "jax": Writer(openvino_from(by_keras("onnx")), ("jax2onnx", "openvino")),
            "tensorflow": Writer(openvino_from(by_keras("onnx")), ("tf2onnx", "openvino")),
            "torch": Writer(openvino_from(onnx_by_torch), ("onnxscript", "openvino")),
        },
        runtime="openvino",
        # Without the hint it computes in bfloat16 on processors that have it.
        load='model = openvino.compile_model("{path}", "CPU", '
        '{{"INFERENCE_PRECISION_HINT": "f32"}}); outputs = model(images)[0]',
        refuses=("half precision", "int4"),
    ),
    "litert": Format(
        title="LiteRT",
        ending=".tflite",
        writers={"tensorflow": Writer(by_keras("litert"))},
        runtime="ai_edge_litert.interpreter",
        load='model = ai_edge_litert.interpreter.Interpreter("{path}").get_signature_runner(); '
        "outputs = model({input}=images)",
        refuses=("half precision", "quantised layers"),
    ),
    "torch": Format(
        title="torch.export",
        ending=".pt2",
        writers={"torch": Writer(program_by_torch)},
        runtime="torch",
        load='model = torch.export.load("{path}").module(); outputs = model(images)',
    ),
}
"""The formats by name. `format_table()` shows which backend writes which."""


def check_format(format: str) -> Writer:
    """Returns the running backend's writer for a format."""
    writers = FORMATS[check_choice("format", format, FORMATS)].writers
    backend = keras.backend.backend()
    if backend not in writers:
        raise ValueError(
            f'format="{format}" cannot be made by the backend {backend}. Backends that can: '
            f"{', '.join(writers)}. Save the model, then load and export it with "
            f"KERAS_BACKEND={list(writers)[-1]}"
        )
    return writers[backend]


def format_table() -> str:
    """Returns the table of formats and backends in Markdown."""
    rows = [("format", "ending", *BACKEND_NAMES.values()), ("---",) * (2 + len(BACKEND_NAMES))]
    for name, known in FORMATS.items():
        cells = ["any batch" if backend in known.writers else "-" for backend in BACKEND_NAMES]
        ending = f"`{known.ending}`" if known.ending else "a folder"
        rows.append((f'{known.title}, `"{name}"`', ending, *cells))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
