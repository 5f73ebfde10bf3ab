"""CRATE-B fused under Keras and, exported, in ONNX Runtime and OpenVINO: time side by side.

    KERAS_BACKEND=torch python benchmarks/exports.py

Needs the extra `export` (under JAX `export-jax`). Times are medians of interleaved
rounds in one process, from NumPy to NumPy; all runtimes take as many threads as they
choose. OpenVINO runs in float32, and as it does by default, which is bfloat16 on
processors that have it. ONNX Runtime also runs its dynamic int8 of the same file.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import openvino
from keras_crate.benchmark.peers import crate, images_and_labels, machine
from keras_crate.benchmark.timing import interleaved, ratio
from onnxruntime.quantization import quantize_dynamic

import keras_crate


def runtimes(model, folder):
    """Functions of images, by name."""
    exact, rounded = folder / "exact.onnx", folder / "int8.onnx"
    model.export(exact, format="onnx")
    quantize_dynamic(exact, rounded)
    calls = {"Keras": model.predict_on_batch}
    quiet = onnxruntime.SessionOptions()  # its threads would spin into the next one's turn
    quiet.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for name, path in (("ONNX Runtime", exact), ("ONNX Runtime, int8", rounded)):
        session = onnxruntime.InferenceSession(path, quiet, ["CPUExecutionProvider"])
        name_of_input = session.get_inputs()[0].name
        calls[name] = lambda x, s=session, n=name_of_input: s.run(None, {n: x})[0]
    network = openvino.Core().read_model(exact)
    for name, hints in (
        ("OpenVINO, float32", {"INFERENCE_PRECISION_HINT": "f32"}),
        ("OpenVINO, default", {}),
    ):
        compiled = openvino.compile_model(network, "CPU", hints)
        calls[name] = lambda x, c=compiled: c(x)[0]
    return calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
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
            for name in bound:
                rows.append(
                    {
                        "runtime": name,
                        "batch": batch,
                        "seconds": statistics.median(seconds[name]),
                        "time_ratio": ratio(seconds, name, "Keras"),
                        "largest_logit_difference": float(
                            np.abs(logits[name] - logits["Keras"]).max()
                        ),
                        "largest_logit": float(np.abs(logits["Keras"]).max()),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"exports_{keras.backend.backend()}.json"
    path.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
