"""The tables of weights in README.md, docs/models.md and docs/zoo.md, made of the registry."""

from markdown_table import table

from keras_crate.weights.sizes import SIZES
from keras_crate.weights.variants import LOADS, STATES, Variant, variants

_HOW = {
    "shipped": "the file comes with the package",
    "published": "`weights=` downloads the authors' file from `hf://UCSC-VLAA/CRATE-alpha`",
    "by hand": "the authors published the file where no program can fetch it. If you have a copy, "
    "`keras-crate convert FILE NAME.keras` converts it",
    "unpublished": "a paper reports the accuracy, but no weights are published. You can train them "
    "by the recipe with the authors' settings: [Training on ImageNet](../weights/README.md)",
}
_NONE = "-"


def zoo_page() -> str:
    """The text of docs/zoo.md."""
    rows = [
        (
            f"`{variant.name}`",
            variant.loads,
            f"`{variant.call().removeprefix('keras_crate.')}`",
            variant.data,
            f"{variant.parameters:,}",
            _accuracy(variant),
            f"`{variant.recipe}`" if variant.recipe else _NONE,
        )
        for state in STATES
        for variant in _in_state(state)
    ]
    head = ("variant", "loads", "model", "trained on", "parameters", "accuracy", "recipe")
    lines = [
        *("---", "hide: [toc]", "---", ""),  # room for the table
        "# The zoo: all weights",
        "",
        "A variant is a model with a named set of weights. The table has all variants of "
        "`weights/variants.toml`. `keras-crate weights` prints them too. The column `loads` says "
        "how to get the weights:",
        "",
        *(f"- **{LOADS[state]}** ({len(_in_state(state))}): {_HOW[state]};" for state in STATES),
        "- **with PyTorch**: reading the file needs PyTorch. Any backend can run the model.",
        "",
        "Accuracies are in per cent, as the authors report them, unless they were measured for "
        "this package. A dash means that no accuracy is known. The authors' files were not loaded "
        "for this package, so no revision is pinned and no hash is known. "
        "`keras-crate verify NAME --imagenet FOLDER` measures the accuracy of a file.",
        "",
        *table(head, rows),
        "",
        "## Notes",
        "",
        *(
            f"- `{variant.name}`: {variant.notes}"
            for variant in variants().values()
            if variant.notes
        ),
    ]
    return "\n".join(lines) + "\n"


def sizes_table() -> str:
    """The table of docs/models.md: all sizes, with the accuracies that the papers report."""
    reported = {}  # by constructor and patch
    for variant in variants().values():
        if variant.top1 is not None and "imagenet" in variant.weights:
            patch = variant.architecture.patch[0]
            reported.setdefault(variant.constructor, {})[patch] = f"{variant.top1:g} %"
    rows = []
    for name, size in SIZES.items():
        top1 = [f"{top1} (patch {p})" for p, top1 in sorted(reported.get(name, {}).items())]
        cells = (size.dim, size.depth, size.heads, size.patch, f"{size.parameters:,}")
        rows.append((f"`{name}`", *map(str, cells), ", ".join(top1) or _NONE))
    head = ("constructor", "width", "blocks", "heads", "patch", "parameters")
    return "\n".join(table((*head, "ImageNet-1K top-1, as reported by the authors"), rows))


def readme_table() -> str:
    """The table of README.md: the weights in the package."""
    rows = [
        (f"`{variant.name}`", variant.architecture.family, variant.data, _accuracy(variant))
        for variant in _in_state("shipped")
    ]
    return "\n".join(table(("name", "family", "trained on", "accuracy, per cent"), rows))


def _in_state(state: str) -> list[Variant]:
    return [variant for variant in variants().values() if variant.state == state]


def _accuracy(variant: Variant) -> str:
    if variant.zero_shot is not None:
        return f"{variant.zero_shot:g} (zero-shot)"
    if variant.measured is not None:
        return f"{variant.measured:g} (measured on {variant.measured_on})"
    return _NONE if variant.top1 is None else f"{variant.top1:g}"
