"""docs/recipes.md, made of the recipes' files."""

from markdown_table import table

from keras_crate.training import list_recipes, load_recipe
from keras_crate.training.recipe import FOLDER, Recipe

_HEAD = ("recipe", "data", "pixels", "epochs", "batch", "optimizer", "augmentation")
_NONE = "-"
_INTRODUCTION = """# Recipes

A recipe is a file with the settings of a training. `keras-crate recipes` lists the recipes of
the package, and `keras-crate recipes NAME` prints all settings of one.
[Training](training.md#recipes) explains which recipe is for what, and how to write your own.
`keras_crate.training.Recipe` explains each setting.

The table shows the settings that differ most. "Warm-up" is the number of first epochs in which
the learning rate grows, "lr" is the highest learning rate, and "wd" the weight decay. A dash in
the column "data" means that you name the data."""


def recipes_page() -> str:
    """The text of docs/recipes.md."""
    names = list_recipes()
    rows = [(f"[`{name}`](#{name})", *_row(load_recipe(name))) for name in names]
    lines = [_INTRODUCTION, "", *table(_HEAD, rows)]
    for name in names:
        text = (FOLDER / f"{name}.toml").read_text("utf8").strip()
        lines += [
            "",
            f"## {name}",
            "",
            f"{load_recipe(name).description}.",
            "",
            "```toml",
            text,
            "```",
        ]
    return "\n".join(lines) + "\n"


def _row(recipe: Recipe) -> tuple[str, ...]:
    warmup = f", warm-up {recipe.warmup_epochs}" if recipe.warmup_epochs else ""
    rates = f"lr {recipe.learning_rate:g}, wd {recipe.weight_decay:g}"
    return (
        f"`{recipe.dataset}`" if recipe.dataset else _NONE,
        "the model's" if recipe.image_size is None else str(recipe.image_size),
        f"{recipe.epochs}{warmup}",
        f"{recipe.batch_size:,}",
        f"{recipe.optimizer}, {rates}",
        _augmentation(recipe),
    )


def _augmentation(recipe: Recipe) -> str:
    parts = []
    if isinstance(recipe.crop_area, tuple):
        parts.append(f"crops of {recipe.crop_area[0]:.0%} or more")
    if recipe.shift:
        parts.append(f"shift by {recipe.shift}")
    if recipe.flip:
        parts.append("flip")
    if recipe.rand_augment:
        parts.append("RandAugment({:g}, {:g})".format(*recipe.rand_augment))
    for name, value in (("erasing", recipe.random_erasing), ("MixUp", recipe.mixup),
                        ("CutMix", recipe.cutmix)):  # fmt: skip
        if value:
            parts.append(f"{name} {value:g}")
    return ", ".join(parts) or _NONE
