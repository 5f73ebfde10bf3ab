"""Which operators suit a small CRATE best on MNIST's digits?

Trains four CRATEs that differ only in their operators, MSSA or TSSA to compress and ISTA or
OvercompleteISTA to sparsify, on 4,000 digits by one recipe, with three seeds each.

    python examples/compare_operators.py

Writes a table, a figure and all runs into a folder. Started again, it continues where it stopped.
"""

import argparse
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras_crate.training import compare, load_recipe

OPERATORS = {
    f"{compress.upper()}, {name}": (compress, sparsify)
    for compress in ("mssa", "tssa")
    for name, sparsify in (("ISTA", "ista"), ("OvercompleteISTA", "overcomplete_ista"))
}


def builder(compress: str, sparsify: str):
    """A function that makes a CRATE with these operators."""

    def build(seed: int) -> keras.Model:
        return keras_crate.CRATE(
            64, 3, 4, compress=compress, sparsify=sparsify, input_shape=(28, 28, 1), patch_size=7,
            classes=10, pooling="avg",
        )  # fmt: skip

    return build


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--output", type=Path, default=Path("crate-operators"))
parser.add_argument("--data", default="mnist5k", help="28x28 grey images of ten classes")
parser.add_argument("--seeds", type=int, default=3, help="runs of each model (%(default)s)")
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--limit", type=int, help="train on so many of the images")
arguments = parser.parse_args()

found = compare(
    {name: builder(*operators) for name, operators in OPERATORS.items()},
    arguments.data,
    arguments.output,
    recipe=load_recipe("digits-small", epochs=arguments.epochs),
    seeds=range(arguments.seeds),
    limit=arguments.limit,
)
print(f"\n{found}\n\nwrote {arguments.output.resolve()}")
