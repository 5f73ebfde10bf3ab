"""Images per second of CRATE-B's training step, with each form of MSSA's attention.

    KERAS_BACKEND=jax python benchmarks/attention_in_training.py   # on a GPU

A step is that of `throughput.py`, in mixed bfloat16. Ten steps of each form are timed in turns.
The models of all forms are in the memory of the GPU at once. `attention_form` in
`keras_crate/layers/attention.py` chooses from these forms.

The script also compares each form's gradient in bfloat16 with that of `plain` in float32.
"""

import statistics
from unittest.mock import patch

import keras
import numpy as np
import script
from contenders import images_and_labels
from machine import machine
from throughput import training_step
from timing import compiled, gradients, interleaved, wait

import keras_crate
from keras_crate.layers import attention, mssa

STEPS = 10
FORMS = [form for form in attention.FORMS if form != "late"]  # which is for inference


def call_of(form: str, size: int, batch: int):
    """A function that makes steps and waits for them."""
    images, labels = map(keras.ops.convert_to_tensor, images_and_labels(batch, size))
    model = keras_crate.CRATEBase(
        input_shape=(size, size, 3), data_format="channels_last", include_preprocessing=False,
        dtype="mixed_bfloat16", classifier_activation=None,
    )  # fmt: skip
    step = training_step(model, images, labels)

    def steps():
        with patch.object(mssa, "attention_form", lambda *_: form):  # PyTorch asks at each step
            for _ in range(STEPS):
                result = step()
            wait(result)

    steps()  # compiles
    return steps


def gradient_error(form: str) -> float:
    """Largest difference of a gradient, divided by the largest number of the gradient."""
    w = np.random.default_rng(0).standard_normal((4, 12, 197, 64), "float32")
    factors = keras.ops.cos(keras.ops.arange(64, dtype="float32"))

    def gradient(form, dtype):
        def loss(w):
            outputs = attention.subspace_attention(w, form)
            return keras.ops.sum(keras.ops.cast(outputs, "float32") * factors)

        tensor = keras.ops.convert_to_tensor(w, dtype=dtype)
        (found,) = compiled(gradients(loss), tensor)()
        return keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))

    exact = gradient("plain", "float32")
    return float(np.abs(gradient(form, "bfloat16") - exact).max() / np.abs(exact).max())


def main():
    parser = script.parser(__doc__, rounds=5)
    parser.add_argument("--forms", nargs="+", default=FORMS, choices=attention.FORMS)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 448], help="of images")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 64], help="for each size")
    arguments = parser.parse_args()
    cases = []
    for size, batch in zip(arguments.sizes, arguments.batches, strict=True):
        calls = {form: call_of(form, size, batch) for form in arguments.forms}
        seconds = interleaved(calls, arguments.rounds)
        tokens = (size // 16) ** 2 + 1
        rates = {k: batch * STEPS / statistics.median(s) for k, s in seconds.items()}
        chosen = attention.attention_form(tokens, "bfloat16", True)
        cases.append(
            {"batch": batch, "tokens": tokens, "chosen": chosen, "images_per_second": rates}
        )
        print(cases[-1], flush=True)
    errors = {form: gradient_error(form) for form in arguments.forms}
    results = {"machine": machine(), "dtype": "mixed_bfloat16", "cases": cases, "errors": errors}
    script.write_results(arguments.output, "attention_in_training", results)


if __name__ == "__main__":
    main()
