"""What the training of each published size costs by its recipe: the table of weights/README.md.

    python benchmarks/training_cost.py

The hours come from the training throughput in results/throughput_*.json, which `throughput.py`
measures on a GPU. They are those of the model's steps, without reading and changing images.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from multiplications import of_size

from keras_crate.training import load_recipe
from keras_crate.training.pretrain import recipe_for_model
from keras_crate.weights.sizes import SIZES, family_of

IMAGENET_1K = 1_281_167
IMAGENET_21K = 14_197_122  # of all 21,841 classes
PASSES = 3  # of a training step, in forward passes: see multiplications.py
RESULTS = Path(__file__).parent / "results"


def stages() -> list[tuple[str, str, int]]:
    """Size, recipe and number of training images of each training."""
    found = []
    for name in SIZES:
        if family_of(name) == "CRATEAlpha":
            found.append((name, "imagenet21k-alpha", IMAGENET_21K))
            found.append((name, "imagenet1k-alpha", IMAGENET_1K))
        else:
            found.append((name, recipe_for_model(name), IMAGENET_1K))
    return found


def cost_table(files: Iterable[Path] | None = None) -> str:
    """The table, in Markdown.

    Args:
        files: Files of `throughput.py`. By default, those of results/.
    """
    files = sorted(RESULTS.glob("throughput_*.json")) if files is None else files
    measured = [entry for file in files for entry in json.loads(file.read_text("utf8"))]
    head = "size | recipe | images x epochs | batch | an image, forward | the training | GPU hours"
    lines = [f"| {head} |", f"| {' | '.join(['---'] * 7)} |"]
    for name, recipe_name, images in stages():
        recipe = load_recipe(recipe_name)
        seen, forward = images * recipe.epochs, of_size(name)
        cells = (
            f"`{name}`",
            f"`{recipe_name}`",
            f"{images:,} x {recipe.epochs}",
            f"{recipe.batch_size:,}",
            f"{1e-9 * forward:.1f}",
            f"{1e-18 * PASSES * forward * seen:.2f}",
            hours(name, seen, measured),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def hours(name: str, seen: int, measured: list[dict]) -> str:
    """GPU hours by the fastest measurement of a size.

    Args:
        name: The size.
        seen: Number of images that the training sees.
        measured: Entries of `throughput.py`.
    """
    key = "images_per_second_training"
    entries = [entry for entry in measured if entry["model"] == name and entry.get(key)]
    if not entries:
        return "not measured"
    best = max(entries, key=lambda entry: entry[key])
    batch = best.get("batch_training", best["batch"])
    return (
        f"{seen / best[key] / 3600:,.0f} ({best[key]:,.0f} images/s; {best['device']}, "
        f"{best['backend']}, {best['dtype']}, batch {batch})"
    )


if __name__ == "__main__":
    print(cost_table())
