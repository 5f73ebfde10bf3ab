"""Draws the figure of README.md: what a trained CRATE attends to, and its two curves.

    python examples/look_inside.py

The variant `crate_deep_fashion_mnist` ships with the package: 12 blocks, 197 tokens. The images are
six test photographs of Fashion-MNIST. Writes look-inside.png.
"""

import argparse
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras_crate import interpret, objective
from keras_crate.figure import displayable
from keras_crate.objective.layer_measurements import draw_curves
from matplotlib.figure import Figure

ROWS = (0, 1, 5)  # an ankle boot, a pullover, a sandal


def main() -> None:
    """Looks, measures and draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("look-inside.png"))
    parser.add_argument("--variant", default="crate_deep_fashion_mnist")
    arguments = parser.parse_args()

    model = keras_crate.load(arguments.variant)
    images, _ = keras_crate.data.garments()
    maps = interpret.attention_maps(model, images)  # (6, heads, rows, columns)
    keras.utils.set_random_seed(0)
    untrained = type(model).from_config(model.get_config())
    curves = {"trained": objective.measure(model, images)}
    curves["untrained"] = objective.measure(untrained, images)

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    heads = maps.shape[1]
    axes = left.subplots(len(ROWS), 1 + heads)
    for row, k in zip(axes, ROWS, strict=True):
        row[0].imshow(displayable(images)[k], cmap="gray")
        for ax, of_head in zip(row[1:], maps[k], strict=True):
            ax.imshow(of_head, cmap="magma", vmin=0)
    for ax, title in zip(axes[0], ["image", *(f"head {h}" for h in range(heads))], strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    panels = right.subplots(1, 2)
    for (name, measured), colour in zip(curves.items(), ("C0", "0.6"), strict=True):
        draw_curves(measured, *panels, label=name, colour=colour)
    panels[0].legend(frameon=False)
    figure.savefig(arguments.output, dpi=110)
    print(f"wrote {arguments.output.resolve()}")


if __name__ == "__main__":
    main()
