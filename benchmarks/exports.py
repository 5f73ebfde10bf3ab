"""Times a fused CRATE-B under Keras, and its exports in ONNX Runtime and OpenVINO.

    KERAS_BACKEND=torch python benchmarks/exports.py

Needs the extra `export` (under JAX `export-jax`). Times are medians of interleaved rounds in one
process, from NumPy to NumPy. Each runtime chooses its number of threads. OpenVINO runs in
float32, and in its default, which is bfloat16 on processors that have it. ONNX Runtime runs the
file in float32, and in its dynamic int8.
"""

import json
import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnx_runtime
import openvino
import script
from contenders import crate, images_and_labels
from machine import machine
from timing import interleaved, ratio

import keras_crate


def runtimes(model, folder):
    """Functions of images, by name."""
    files = onnx_runtime.export(model, folder)
    calls = {
        "Keras": model.predict_on_batch,
        "ONNX Runtime": onnx_runtime.call_of(files["float32"]),
        "ONNX Runtime, int8": onnx_runtime.call_of(files["int8"]),
    }
    network = openvino.Core().read_model(files["float32"])
    for name, hints in (
        ("OpenVINO, float32", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("OpenVINO, default", {}),
    ):
        compiled = openvino.compile_model(network, "CPU", hints)
        calls[name] = lambda x, c=compiled: c(x)[0]
    return calls


def main():
    parser = script.parser(__doc__, rounds=9)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    model = keras_crate.fuse(crate())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        calls = runtimes(model, Path(folder))
        for batch in arguments.batches:
            images, _ = images_and_labels(batch)
            bound = {name: lambda c=call, x=images: c(x) for name, call in calls.items()}
            logits = {name: np.asarray(call()) for name, call in bound.items()}
            seconds = interleaved(bound, arguments.rounds)
            largest = float(np.abs(logits["Keras"]).max())
            for name, found in logits.items():
                row = {
                    "runtime": name,
                    "batch": batch,
                    "seconds": statistics.median(seconds[name]),
                    "time_ratio": ratio(seconds, name, "Keras"),
                    "largest_logit_difference": float(np.abs(found - logits["Keras"]).max()),
                    "largest_logit": largest,
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
    script.write_results(arguments.output, "exports", {"machine": machine(), "runs": rows})


if __name__ == "__main__":
    main()
