"""What measuring the objective costs, compared with a forward pass and an epoch of training.

    KERAS_BACKEND=jax python benchmarks/measuring_cost.py

First, it times R^c of one CRATE-Base layer for 8 images of 197 tokens, in float64 in NumPy, as
`measure` computes it. The model's forward pass of these images is timed in the same interleaved
rounds. Second, it times `LayerwiseObjective` on 32 images and an epoch of `demo --from-scratch`,
in one training.
"""

import json
import statistics
import tempfile
import time

import keras
import numpy as np
import script
from timing import interleaved, ratio

import keras_crate
from keras_crate.objective import LayerwiseObjective, subspace_coding_rate
from keras_crate.training import DemoRecipe, run_demo_from_scratch


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
    seconds = interleaved(calls, rounds)
    found = {f"{name}_ms": 1e3 * statistics.median(values) for name, values in seconds.items()}
    for name in ("authors", "paper"):
        found[f"{name}_to_forward"] = ratio(seconds, name, "forward")
    return found


class Clock(keras.callbacks.Callback):
    """Times epochs, and the measurements of another callback within them."""

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


def callback_cost(epochs: int) -> dict:
    digits = keras_crate.data.load("mnist5k")
    layerwise = LayerwiseObjective(digits.validation.images[:32])
    clock = Clock(layerwise)
    recipe = DemoRecipe(epochs=epochs, warmup_epochs=1)
    # Keras calls the layerwise callback first: its time is part of the epoch's.
    callbacks = [layerwise, clock]
    with tempfile.TemporaryDirectory() as folder:
        run_demo_from_scratch(folder, recipe, digits, say=lambda line: None, callbacks=callbacks)
    epoch = statistics.median(clock.epochs[1:])  # the first compiles
    within = statistics.median(clock.within[2:])
    return {"epoch_s": epoch, "callback_ms": 1e3 * within, "share": within / epoch}


def main():
    parser = script.parser(__doc__, rounds=15)
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    found = {
        "backend": keras.backend.backend(),
        "coding_rate": coding_rate_cost(arguments.rounds),
        "callback": callback_cost(arguments.epochs),
    }
    print(json.dumps(found, indent=1))
    script.write_results(arguments.output, "measuring_cost", found)


if __name__ == "__main__":
    main()
