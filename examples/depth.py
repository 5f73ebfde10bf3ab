"""Do compression and sparsity grow with depth in a CRATE of 12 blocks and 197 tokens?

The paper's figure 3 shows it for CRATEs trained on ImageNet-1K. This trains a CRATE of as many
blocks and tokens on Fashion-MNIST (patches of 2x2 pixels), and a ViT with about as many
parameters. Each is measured before the training, after a fifth of it and at its end, with 256
validation images, in the authors' convention and in the paper's.

    python examples/depth.py --seeds 0 1                                   # on a GPU
    python examples/depth.py --epochs 2 --limit 6000 --precision float32   # a try on a CPU

Writes depth.json, depth.md (R^c and the share of non-zeros at every block), depth.png and all runs
into a folder. Started again, it continues where it stopped. `--train crate --seeds 1` trains some
of the runs, so that several processes can share the work, and `--train none` measures the runs
that are there.
"""

import argparse
import json
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate import data
from keras_crate.figure import legend_beside, new_figure
from keras_crate.files import written_whole
from keras_crate.objective import measure
from keras_crate.training import Recipe, load_recipe, pretrain
from plain_models import MLP, SelfAttention

SHAPE, DEPTH, HEAD_DIM = (28, 28, 1), 12, 32
CONVENTIONS = ("authors", "paper")


def crate(width: int) -> keras.Model:
    """A CRATE: 3 d^2 parameters in a block."""
    return _model(width, "crate")


def vit(width: int) -> keras.Model:
    """A ViT in the same graph: 12 d^2 parameters in a block, so half as wide."""
    return _model(width // 2, "vit", compress=SelfAttention, sparsify=MLP)


def _model(width, name, **operators):
    return keras_crate.CRATE(
        width, DEPTH, width // HEAD_DIM, input_shape=SHAPE, patch_size=2, classes=10, name=name,
        **operators,
    )  # fmt: skip


MODELS = {"crate": crate, "vit": vit}


def moments(epochs: int) -> list[int]:
    """Numbers of epochs after which a model is measured."""
    return sorted({0, -(-epochs // 5), epochs})


class Keep(keras.callbacks.Callback):
    """Saves the model in training, which may be a copy of the one that was passed, at moments."""

    def __init__(self, folder: Path, epochs: list[int]):
        super().__init__()
        self.folder, self.epochs = folder, epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 in self.epochs:
            with written_whole(self.folder / f"epoch-{epoch + 1}.keras") as file:
                self.model.save(file, include_optimizer=False)


def train(
    name: str, seed: int, images: data.LabelledImages, folder: Path, width: int, recipe: Recipe
) -> None:
    """Trains a model and keeps it at every moment, unless that was done."""
    keep = folder / name / f"seed-{seed}"
    keep.mkdir(parents=True, exist_ok=True)
    if (keep / f"epoch-{recipe.epochs}.keras").exists():
        return
    keras.utils.set_random_seed(seed)
    model = MODELS[name](width)
    if not (keep / "epoch-0.keras").exists():
        model.save(keep / "epoch-0.keras")

    callbacks = [Keep(keep, moments(recipe.epochs))]
    pretrain(model, images, keep / "run", recipe=recipe, seed=seed, callbacks=callbacks, verbose=2)


def measured(name: str, seed: int, images: np.ndarray, folder: Path, epochs: int) -> dict:
    """What the layers do at every moment, by epoch and convention."""
    found = {}
    for epoch in moments(epochs):
        file = folder / name / f"seed-{seed}" / f"epoch-{epoch}.keras"
        model = keras.saving.load_model(file, compile=False)
        found[epoch] = {c: measure(model, images, convention=c).to_dict() for c in CONVENTIONS}
    return found


def rows(results: dict) -> list[str]:
    """Means over seeds at every block, as a table in Markdown."""
    lines = [f"| | {' | '.join(str(k) for k in range(DEPTH))} |", "| --- |" + " ---: |" * DEPTH]

    def add(label, curves, digits):
        mean = np.mean(curves, axis=0)
        lines.append(f"| {label} | {' | '.join(f'{value:.{digits}f}' for value in mean)} |")

    for name, seeds in results.items():
        for convention in CONVENTIONS:
            for epoch in seeds[0]:
                of_epoch = [seed[epoch][convention] for seed in seeds]
                label = f"{name}, epoch {epoch}, {convention}"
                add(f"{label}: R^c", [m["coding_rate_mean"] for m in of_epoch], 0)
                if convention == "authors":
                    sparsity = 1 - np.array([m["sparsity_mean"] for m in of_epoch])
                    add(f"{label}: non-zeros", sparsity, 3)
    return lines


def figure(results: dict):
    """R^c in both conventions and the share of non-zeros, by block."""
    drawn = new_figure(10, 3 * len(results))
    axes = np.atleast_2d(drawn.subplots(len(results), 3, squeeze=False))
    for row, (name, seeds) in zip(axes, results.items(), strict=True):
        for epoch in seeds[0]:
            curves = [
                [seed[epoch][c]["coding_rate_mean"] for seed in seeds] for c in CONVENTIONS
            ] + [[1 - np.array(seed[epoch]["authors"]["sparsity_mean"]) for seed in seeds]]
            for ax, values in zip(row, map(np.array, curves), strict=True):
                [line] = ax.plot(values.mean(axis=0), label=f"epoch {epoch}")
                ax.fill_between(
                    range(DEPTH), values.min(axis=0), values.max(axis=0), alpha=0.2, lw=0,
                    color=line.get_color(),
                )  # fmt: skip
        for ax, title in zip(
            row, ("R^c, authors' convention", "R^c, paper's convention", "non-zeros"), strict=True
        ):
            ax.set(title=f"{name}: {title}", xlabel="block", xticks=range(0, DEPTH, 2))
        row[-1].set(ylim=(0, 1.05))
        legend_beside(row[-1])
    return drawn


def main() -> None:
    """Trains, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-depth"))
    parser.add_argument("--train", choices=[*MODELS, "none"], help="by default, all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="(%(default)s)")
    parser.add_argument("--epochs", type=int, help="by default, the recipe's")
    parser.add_argument("--width", type=int, default=128, help="of the CRATE (%(default)s)")
    parser.add_argument("--recipe", default="fashion-mnist-deep")
    parser.add_argument("--precision", help="by default, the recipe's")
    parser.add_argument("--data", default="fashion_mnist", help="28x28 grey images, ten classes")
    parser.add_argument("--images", type=int, default=256, help="to measure (%(default)s)")
    parser.add_argument("--limit", type=int, help="train on so many of the images")
    arguments = parser.parse_args()

    folder, images = arguments.output, data.open_data(arguments.data, limit=arguments.limit)
    changes = {"epochs": arguments.epochs, "precision": arguments.precision}
    recipe = load_recipe(arguments.recipe, **{k: v for k, v in changes.items() if v is not None})
    wanted = arguments.train
    for name in MODELS if wanted is None else {wanted} & {*MODELS}:
        for seed in arguments.seeds:
            train(name, seed, images, folder, arguments.width, recipe)
    if wanted in MODELS:
        return
    shown = images.validation.images[: arguments.images]
    results = {
        name: [
            measured(name, seed, shown, folder, recipe.epochs)
            for seed in arguments.seeds
            if (folder / name / f"seed-{seed}" / f"epoch-{recipe.epochs}.keras").exists()
        ]
        for name in MODELS
    }
    results = {name: runs for name, runs in results.items() if runs}
    table = "\n".join(rows(results))
    print(f"\n{table}")
    (folder / "depth.md").write_text(f"{table}\n", "utf8")
    (folder / "depth.json").write_text(json.dumps(results, indent=1), "utf8")
    figure(results).savefig(folder / "depth.png", dpi=150)


if __name__ == "__main__":
    main()
