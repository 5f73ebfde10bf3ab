"""ISTA's three forms: from how many tokens does it pay to fold the products into one?

    KERAS_BACKEND=jax python benchmarks/ista_forms.py

Times three forms: three products as published, two products, and one product with
`A = I + eta (D - D^T D)`, which is formed in the call. Each is timed forward and with gradients, in
interleaved rounds. Prints the median ratio of the times to those of three products.
"""

import numpy as np
import script
from keras import backend, ops
from timing import compiled, gradients, interleaved, ratio

from keras_crate.layers import ISTA


def three_products(layer, x, d, training):
    dt = ops.transpose(d)
    return x + layer.step_size * (ops.matmul(x, d) - ops.matmul(ops.matmul(x, dt), d))


FORMS = {"three": three_products, "two": ISTA._two_products, "one": ISTA._one_product}


def call_of(form, layer, training, x, d):
    def loss(x, d):
        y = ops.relu(FORMS[form](layer, x, d, training) - layer.step_size * layer.penalty)
        return ops.sum(y * y)

    return compiled(gradients(loss) if training else loss, x, d, xla=True)


def main():
    parser = script.parser(__doc__, rounds=9)
    parser.add_argument("--dim", type=int, default=768)
    arguments = parser.parse_args()
    dim = arguments.dim
    rng = np.random.default_rng(0)
    layer = ISTA()
    layer.build((None, None, dim))
    d = ops.convert_to_tensor(layer.get_weights()[0])
    print(f"{backend.backend()}, width {dim}; time as a ratio to three products, median")
    print(f"{'tokens':>8} {'n/d':>6} | forward: two, one | with gradients: two, one")
    for tokens in (dim // 4, dim // 2, dim, 2 * dim, 4 * dim, 8 * dim):
        x = ops.convert_to_tensor(rng.normal(size=(tokens, dim)).astype("float32"))
        row = f"{tokens:>8} {tokens / dim:>6.2f} |"
        for training in (False, True):
            calls = {form: call_of(form, layer, training, x, d) for form in FORMS}
            for call in calls.values():
                call()
            seconds = interleaved(calls, arguments.rounds)
            two, one = (ratio(seconds, form, "three") for form in ("two", "one"))
            row += f"          {two:.2f}  {one:.2f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
