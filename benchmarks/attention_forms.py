"""MSSA's attention in all its forms: which is fastest, and how much memory does it take?

    KERAS_BACKEND=jax python benchmarks/attention_forms.py

The forms are those of `keras_crate/layers/attention.py`, from which `attention_form` chooses. They
are measured for 12 heads of width 64. Times are medians of interleaved rounds in one process,
forward (`predict`) and with the gradient (`train`). Memory is the growth of the peak resident
memory of a fresh process by compiling and by one call with the gradient, on a CPU. Only float32
is measured for memory.
"""

import argparse
import json
import statistics

import keras
import numpy as np
import script
from machine import machine
from memory import peak_raised_by
from timing import compiled, gradients, interleaved

import keras_crate  # noqa: F401 (chooses a backend)
from keras_crate.layers.attention import FORMS, attention_form, subspace_attention

HEADS, WIDTH = 12, 64
CASES = ((8, 197), (1, 1025), (1, 4097))  # images, tokens


def coordinates(batch, tokens, dtype="float32"):
    w = np.random.default_rng(0).standard_normal((batch, HEADS, tokens, WIDTH), "float32")
    return keras.ops.convert_to_tensor(w, dtype=dtype)


def call_of(form, task, w):
    def forward(w):
        return subspace_attention(w, form)

    def loss(w):
        return keras.ops.sum(keras.ops.square(forward(w)))

    return compiled(gradients(loss) if task == "train" else forward, w)


def forms_of(task):
    return [name for name in FORMS if task == "train" or not name.startswith("tied")]


def measure_memory(form, batch, tokens):
    """MiB by which compiling and one call raise the peak. For a fresh process."""
    call_of(form, "train", coordinates(1, 5))()
    w = coordinates(batch, tokens)
    return peak_raised_by(lambda: call_of(form, "train", w)())


def main():
    parser = script.parser(__doc__, rounds=9)
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)  # the fresh process
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    if arguments.memory_of:
        form, batch, tokens = arguments.memory_of
        return print(measure_memory(form, int(batch), int(tokens)))
    memory = {
        (case, form): script.in_fresh_process(__file__, "--memory-of", form, *case)
        for case in CASES
        for form in forms_of("train")
        if arguments.dtype == "float32"
    }
    rows = []
    for batch, tokens in CASES:
        w = coordinates(batch, tokens, arguments.dtype)
        for task in ("predict", "train"):
            calls = {form: call_of(form, task, w) for form in forms_of(task)}
            for call in calls.values():
                call()
            seconds = interleaved(calls, max(3, arguments.rounds * 197 // max(tokens, 197)))
            chosen = attention_form(tokens, arguments.dtype, task == "train")
            row = {"batch": batch, "tokens": tokens, "task": task, "chosen": chosen}
            row["milliseconds"] = {k: 1e3 * statistics.median(s) for k, s in seconds.items()}
            if task == "train" and memory:
                row["mebibytes"] = {form: memory[(batch, tokens), form] for form in calls}
            rows.append(row)
            print(json.dumps(row), flush=True)
    results = {"machine": machine(), "dtype": arguments.dtype, "cases": rows}
    name = "attention_forms" + ("_bfloat16" if arguments.dtype == "bfloat16" else "")
    script.write_results(arguments.output, name, results)


if __name__ == "__main__":
    main()
