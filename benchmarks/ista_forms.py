"""ISTA's three forms side by side: when does it pay to fold?

    KERAS_BACKEND=jax python benchmarks/ista_forms.py

Times the three products as published, the two, and the one with
`A = I + eta (D - D^T D)` formed in the call, forward and with gradients,
interleaved in one process; prints ratios to the three products (medians).
"""

import argparse
import statistics
import time

import keras
import numpy as np
from keras import ops

from keras_crate.layers import ISTA


def three_products(layer, x, d, training):
    dt = ops.transpose(d)
    return x + layer.step_size * (ops.matmul(x, d) - ops.matmul(ops.matmul(x, dt), d))


FORMS = {"three": three_products, "two": ISTA._two_products, "one": ISTA._one_product}


def compiled(form, layer, gradient):
    """The form as a jitted function of NumPy arrays that waits for its result."""

    def loss(x, d):
        y = ops.relu(FORMS[form](layer, x, d, gradient) - layer.step_size * layer.penalty)
        return ops.sum(y * y)

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        function = jax.jit(jax.grad(loss, argnums=(0, 1)) if gradient else loss)
        return lambda x, d: jax.block_until_ready(function(x, d))
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=True)
        def function(x, d):
            if not gradient:
                return loss(x, d)
            with tf.GradientTape() as tape:
                tape.watch([x, d])
                value = loss(x, d)
            return tape.gradient(value, [x, d])

        return lambda x, d: [t.numpy() for t in tf.nest.flatten(function(x, d))]
    import torch

    def function(x, d):
        x, d = (t.clone().requires_grad_(gradient) for t in (x, d))
        with torch.set_grad_enabled(gradient):
            value = loss(x, d)
            return torch.autograd.grad(value, (x, d)) if gradient else value

    return function


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    dim = arguments.dim
    rng = np.random.default_rng(0)
    layer = ISTA()
    layer.build((None, None, dim))
    d = ops.convert_to_tensor(layer.get_weights()[0])
    print(f"{keras.backend.backend()}, width {dim}; time as a ratio to three products, median")
    print(f"{'tokens':>8} {'n/d':>6} | forward: two, one | with gradients: two, one")
    for tokens in (dim // 4, dim // 2, dim, 2 * dim, 4 * dim, 8 * dim):
        x = ops.convert_to_tensor(rng.normal(size=(tokens, dim)).astype("float32"))
        row = f"{tokens:>8} {tokens / dim:>6.2f} |"
        for gradient in (False, True):
            functions = {form: compiled(form, layer, gradient) for form in FORMS}
            times = {form: [] for form in FORMS}
            for turn in range(arguments.repeats + 1):
                for form, function in functions.items():
                    start = time.perf_counter()
                    function(x, d)
                    if turn:  # the first compiles
                        times[form].append(time.perf_counter() - start)
            base = statistics.median(times["three"])
            ratios = [statistics.median(times[form]) / base for form in ("two", "one")]
            row += f"          {ratios[0]:.2f}  {ratios[1]:.2f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
