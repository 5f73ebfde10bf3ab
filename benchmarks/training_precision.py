"""Trains the demo's model for 1,000 steps in float32 and in 16 bits.

    KERAS_BACKEND=jax python benchmarks/training_precision.py

The model, optimizer and data are those of the demo from scratch (`run_demo_from_scratch`), in 20
epochs of 50 batches. All start from the same weights and see the same batches. Under
`mixed_float16`, Keras multiplies the loss by a changing factor, as `compile` does by default.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import keras
import numpy as np
import script
from machine import machine

from keras_crate.training.demo_from_scratch import FULL, run_demo_from_scratch

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


class Losses(keras.callbacks.Callback):
    """The loss of each epoch's last step, and whether every step's was finite."""

    def on_train_begin(self, logs=None):
        self.steps, self.finite, self.of_epochs = 0, True, []

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        self.finite = self.finite and bool(np.isfinite(logs["loss"]))

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(float(logs["loss"]))


def train(policy: str, steps: int, batch: int) -> dict:
    """Loss and accuracy after training in a dtype policy."""
    keras.config.set_dtype_policy(policy)
    per_epoch = min(steps, 50)
    recipe = dataclasses.replace(
        FULL,
        epochs=steps // per_epoch,
        warmup_epochs=1,
        batch_size=batch,
        train_images=batch * per_epoch,
    )
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        metrics = run_demo_from_scratch(folder, recipe, callbacks=[losses])
    return {
        "steps": losses.steps,
        "finite": losses.finite,
        "losses": losses.of_epochs,
        "accuracy": metrics["accuracy"],
        "seconds": metrics["training_seconds"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="50 or a multiple of it")
    parser.add_argument("--batch", type=int, default=80, help="at most 80")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    found = {}
    for policy in POLICIES:
        found[policy] = train(policy, arguments.steps, arguments.batch)
        results = {"machine": machine(), "batch": arguments.batch, "policies": found}
        script.write_results(arguments.output, "training_precision", results)


if __name__ == "__main__":
    main()
