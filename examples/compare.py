"""Does a small CRATE keep up with a ViT and a convolutional network of its size?

Trains the three, of about 300,000 parameters each, on Fashion-MNIST by one recipe, with three
seeds each. The best epoch is chosen by validation images, and its accuracy on the test images is
measured once.

    python examples/compare.py --recipe fashion-mnist-long   # on a GPU
    python examples/compare.py                               # shorter

`--models` adds CRATEs with a convolutional stem.
Writes a table, a figure and all runs into a folder. Started again, it continues where it stopped.
"""

import argparse
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras_crate.training import compare, load_recipe
from plain_models import MLP, SelfAttention, convolutional_network

SHAPE, CLASSES = (28, 28, 1), 10


def crate(seed: int) -> keras.Model:
    """A CRATE: 3 d^2 parameters in a block."""
    return keras_crate.CRATE(
        128, 6, 4, input_shape=SHAPE, patch_size=4, classes=CLASSES, name="crate"
    )


def crate_with_convolutions(seed: int) -> keras.Model:
    """A CRATE whose tokens come from convolutions."""
    return keras_crate.CRATE(
        128, 6, 4, stem="convolution", input_shape=SHAPE, patch_size=4, classes=CLASSES,
        name="crate_with_convolutions",
    )  # fmt: skip


def larger_crate(seed: int) -> keras.Model:
    """The same, larger: below a million parameters."""
    return keras_crate.CRATE(
        176, 8, 4, stem="convolution", input_shape=SHAPE, patch_size=4, classes=CLASSES,
        drop_path_rate=0.1, name="larger_crate",
    )  # fmt: skip


def vit(seed: int) -> keras.Model:
    """A ViT in the same graph: 12 d^2 parameters in a block, so half as wide."""
    return keras_crate.CRATE(
        64, 6, 2, compress=SelfAttention, sparsify=MLP, input_shape=SHAPE, patch_size=4,
        classes=CLASSES, name="vit",
    )  # fmt: skip


def convolutions(seed: int) -> keras.Model:
    """A plain convolutional network."""
    return convolutional_network(SHAPE, CLASSES)


MODELS = {
    "CRATE": crate,
    "ViT": vit,
    "CNN": convolutions,
    "CRATE, convolutional stem": crate_with_convolutions,
    "CRATE, convolutional stem, larger": larger_crate,
}


def main() -> None:
    """Trains, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-compare"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["CRATE", "ViT", "CNN"])
    parser.add_argument("--recipe", default="fashion-mnist")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each model (%(default)s)")
    parser.add_argument("--epochs", type=int, help="by default, the recipe's")
    parser.add_argument("--limit", type=int, help="train on so many of the images")
    parser.add_argument("--data", default="fashion_mnist", help="28x28 grey images, ten classes")
    arguments = parser.parse_args()

    changes = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    found = compare(
        {name: MODELS[name] for name in arguments.models},
        arguments.data,
        arguments.output,
        recipe=load_recipe(arguments.recipe, **changes),
        seeds=range(arguments.seeds),
        limit=arguments.limit,
    )
    print(f"\n{found}\n\nwrote {arguments.output.resolve()}")


if __name__ == "__main__":
    main()
