"""A model in ONNX Runtime: exported in float32, and in ONNX Runtime's dynamic int8."""

import contextlib
import os
from pathlib import Path

import onnxruntime
from onnxruntime.quantization import quantize_dynamic


def export(model, folder: Path) -> dict[str, Path]:
    """Writes the model into a folder; returns the files `"float32"` and `"int8"`."""
    files = {"float32": folder / "float32.onnx", "int8": folder / "int8.onnx"}
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        model.export(files["float32"], format="onnx", verbose=False)
        quantize_dynamic(files["float32"], files["int8"])
    return files


def call_of(file: Path):
    """A function of images that runs the file on the CPU."""
    options = onnxruntime.SessionOptions()
    # Its idle threads would otherwise spin while another call is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]
