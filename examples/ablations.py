"""What do the parts of a CRATE contribute?

Trains CRATEs that differ in one thing each: the penalty, the step size, the operator that
compresses, or the operator that makes tokens sparse. All learn Fashion-MNIST by one recipe.
Prints the accuracies, and R^c and the share of non-zeros at the first and the last block, in the
authors' convention, of 256 validation images.

    python examples/ablations.py

Writes tables, a figure and all runs into a folder. Started again, it continues where it stopped.
"""

import argparse
import functools
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate import data
from keras_crate.layers import OvercompleteISTA
from keras_crate.objective import measure
from keras_crate.training import compare, load_recipe

MODELS = {
    "CRATE": {},
    "penalty 0": {"penalty": 0.0},
    "penalty 1": {"penalty": 1.0},
    "step size 0.02": {"step_size": 0.02},
    "step size 0.5": {"step_size": 0.5},
    "TSSA": {"compress": "tssa"},
    "CBSA": {"compress": "cbsa"},
    "overcomplete": {"sparsify": OvercompleteISTA(decoupled=False, residual=False)},
    "overcomplete, decoupled": {"sparsify": OvercompleteISTA(residual=False)},
    "overcomplete, decoupled, skip": {"sparsify": "overcomplete_ista"},
}


def build(settings: dict, width: int, seed: int) -> keras.Model:
    """A CRATE of 6 blocks and 50 tokens."""
    return keras_crate.CRATE(
        width, 6, width // 32, input_shape=(28, 28, 1), patch_size=4, classes=10, **settings
    )


def first_and_last(folders, images: np.ndarray) -> list[str]:
    """R^c and the share of non-zeros at the first and the last block: means over runs."""
    models = [keras.saving.load_model(f / "model.keras", compile=False) for f in folders]
    found = [measure(model, images) for model in models]
    rates = np.mean([m.coding_rate_mean for m in found], axis=0)
    sparsity = np.mean([m.sparsity_mean for m in found], axis=0)
    return [
        *(f"{rate:.0f}" for rate in rates[[0, -1]]),
        *(f"{1 - zeros:.3f}" for zeros in sparsity[[0, -1]]),
    ]


def main() -> None:
    """Trains, compares and measures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-ablations"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--data", default="fashion_mnist", help="28x28 grey images of ten classes")
    parser.add_argument("--recipe", default="fashion-mnist")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each model (%(default)s)")
    parser.add_argument("--epochs", type=int, help="by default, the recipe's")
    parser.add_argument("--width", type=int, default=96, help="(%(default)s)")
    parser.add_argument("--limit", type=int, help="train on so many of the images")
    arguments = parser.parse_args()

    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    images = data.open_data(arguments.data)
    found = compare(
        {
            name: functools.partial(build, MODELS[name], arguments.width)
            for name in arguments.models
        },
        images,
        arguments.output,
        recipe=load_recipe(arguments.recipe, **changes),
        seeds=range(arguments.seeds),
        limit=arguments.limit,
    )
    shown = images.validation.images[:256]
    lines = [
        "| model | R^c, first block | R^c, last block | non-zeros, first | non-zeros, last |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name in arguments.models:
        folders = [arguments.output / name / f"seed-{seed}" for seed in range(arguments.seeds)]
        lines.append(f"| {name} | {' | '.join(first_and_last(folders, shown))} |")
    table = "\n".join(lines)
    print(f"\n{found}\n\n{table}\n\nwrote {arguments.output.resolve()}")
    (arguments.output / "comparison.md").write_text(f"{found}\n\n{table}\n", "utf8")


if __name__ == "__main__":
    main()
