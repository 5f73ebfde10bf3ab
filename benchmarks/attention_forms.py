"""MSSA's attention in all its forms side by side: which is fastest, and what does it hold?

    KERAS_BACKEND=jax python benchmarks/attention_forms.py

The forms are those of `keras_crate/layers/attention.py`, of which `attention_form`
chooses one; 12 heads of 64. Times are medians of interleaved rounds in one process,
forward (`predict`) and with the gradient (`train`). Memory is what one call raises
the peak resident memory of a fresh process by, with the gradient, on a CPU.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from keras_crate.benchmark.peers import machine
from keras_crate.benchmark.timing import compiled, interleaved, peak_raised_by

import keras_crate  # noqa: F401 (chooses a backend)
from keras_crate.layers.attention import FORMS, attention_form, subspace_attention

HEADS, WIDTH = 12, 64
CASES = ((8, 197), (1, 1025), (1, 4097))  # images, tokens


def coordinates(batch, tokens):
    rng = np.random.default_rng(0)
    return keras.ops.convert_to_tensor(
        rng.standard_normal((batch, HEADS, tokens, WIDTH), "float32")
    )


def gradient(form):
    """A function of coordinates that gives the gradient of a sum."""

    def loss(w):
        return keras.ops.sum(keras.ops.square(subspace_attention(w, form)))

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(loss)
    if backend == "tensorflow":
        import tensorflow as tf

        def function(w):
            with tf.GradientTape() as tape:
                tape.watch(w)
                value = loss(w)
            return tape.gradient(value, w)

        return function
    import torch

    def function(w):
        with torch.inference_mode(False), torch.enable_grad():
            w = w.clone().requires_grad_()
            return torch.autograd.grad(loss(w), w)[0]

    return function


def call_of(form, task, w):
    if task == "train":
        return compiled(gradient(form), w)
    return compiled(lambda w: subspace_attention(w, form), w)


def forms_of(task):
    return [name for name in FORMS if task == "train" or not name.startswith("tied")]


def print_memory(form, batch, tokens):
    call_of(form, "train", coordinates(1, 5))()
    w = coordinates(batch, tokens)
    call = call_of(form, "train", w)
    print(peak_raised_by(call))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    if arguments.memory_of:
        form, batch, tokens = arguments.memory_of
        return print_memory(form, int(batch), int(tokens))
    memory = {}
    for case in CASES:  # before this process grows: a new one starts from its parent's peak
        for form in forms_of("train"):
            command = [sys.executable, __file__, "--memory-of", form, *map(str, case)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            memory[case, form] = float(done.stdout.split()[-1])
    rows = []
    for batch, tokens in CASES:
        w = coordinates(batch, tokens)
        for task in ("predict", "train"):
            calls = {form: call_of(form, task, w) for form in forms_of(task)}
            for call in calls.values():
                call()
            seconds = interleaved(calls, max(3, arguments.rounds * 197 // max(tokens, 197)))
            chosen = attention_form(tokens, "float32", task == "train")
            row = {"batch": batch, "tokens": tokens, "task": task, "chosen": chosen}
            row["milliseconds"] = {k: 1e3 * statistics.median(s) for k, s in seconds.items()}
            if task == "train":
                row["mebibytes"] = {form: memory[(batch, tokens), form] for form in calls}
            rows.append(row)
            print(json.dumps(row), flush=True)
    path = arguments.output / f"attention_forms_{keras.backend.backend()}.json"
    arguments.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "cases": rows}, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
