"""What looking inside costs: the coding rate beside the forward pass, the callback beside an epoch.

    python benchmarks/measuring_cost.py --output benchmarks/results/measuring_cost.json

The first part is a CRATE-Base layer's R^c for 8 images of 197 tokens, in
float64 on NumPy as `measure` computes it, beside the model's forward pass of
the same 8 images; the two are timed in turn, and the ratio is the median of
the rounds' ratios. The second is `LayerwiseObjective` on 32 images beside an
epoch of the demo, timed in one training.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

import keras_crate
from keras_crate.objective import LayerwiseObjective, subspace_coding_rate
from keras_crate.training import demo


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def coding_rate_cost(rounds: int) -> dict:
    rng = np.random.default_rng(0)
    model = keras_crate.CRATEBase()
    images = rng.uniform(0, 255, (8, 224, 224, 3)).astype("float32")
    tokens = rng.normal(size=(8, 197, 768)).astype("float32")
    bases = keras.ops.convert_to_numpy(model.get_layer("block_0_mssa").subspace_bases())
    calls = {
        "forward": lambda: model.predict_on_batch(images),
        "authors": lambda: subspace_coding_rate(tokens, bases, convention="authors"),
        "paper": lambda: subspace_coding_rate(tokens, bases, convention="paper"),
    }
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    found = {f"{name}_ms": 1e3 * float(np.median(t)) for name, t in times.items()}
    for name in ("authors", "paper"):
        ratios = np.divide(times[name], times["forward"])
        found[f"{name}_to_forward"] = float(np.median(ratios))
    return found


class Clock(keras.callbacks.Callback):
    """Times epochs, and the calls of another callback within them."""

    def __init__(self, callback):
        super().__init__()
        self.callback, self.epochs, self.within = callback, [], []
        measure = callback._measure

        def timed(*arguments):
            start = time.perf_counter()
            found = measure(*arguments)
            self.within.append(time.perf_counter() - start)
            return found

        callback._measure = timed

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(time.perf_counter() - self.start)


def callback_cost(epochs: int, folder) -> dict:
    digits = keras_crate.data.load("mnist5k")
    layerwise = LayerwiseObjective(digits.validation.images[:32])
    clock = Clock(layerwise)
    recipe = dataclasses.replace(demo.FULL, epochs=epochs, warmup_epochs=1)
    # Keras calls the layerwise callback first: its time is in the epoch's.
    demo.run_demo(folder, recipe, digits, say=lambda line: None, callbacks=[layerwise, clock])
    epoch = float(np.median(clock.epochs[1:]))  # the first compiles
    within = float(np.median(clock.within[2:]))
    return {"epoch_s": epoch, "callback_ms": 1e3 * within, "share": within / epoch}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--folder", default=tempfile.gettempdir() + "/measuring-cost", help="for the demo's files"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    found = {
        "backend": keras.backend.backend(),
        "coding_rate": coding_rate_cost(arguments.rounds),
        "callback": callback_cost(arguments.epochs, arguments.folder),
    }
    print(json.dumps(found, indent=1))
    if arguments.output:
        records = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
        records[found["backend"]] = found
        arguments.output.write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
