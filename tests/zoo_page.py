"""Writes docs/zoo.md, the table of all variants: `python tests/zoo_page.py`."""

from pathlib import Path

from keras_crate.weights.variants import STATES, variants

_TITLES = {
    "shipped": "In the package",
    "published": "Published by the authors on the Hub",
    "by hand": "Published where no program can fetch it",
    "unpublished": "Not published",
}
_TEXTS = {
    "shipped": "The weights come with the package.",
    "published": "`weights=` downloads the authors' file from `hf://UCSC-VLAA/CRATE-alpha` and "
    "loads it. These files were not loaded for this package, so no revision is pinned and no hash "
    "is known. `keras-crate verify NAME --imagenet FOLDER` measures the accuracy of a file.",
    "by hand": "If you have a copy, `keras-crate convert FILE NAME.keras` converts it.",
    "unpublished": "The papers report these accuracies, but nobody has published the weights. The "
    "recipe has the authors' settings, so you can train the model.",
}


def zoo_page() -> str:
    """The page's text."""
    lines = [
        "# Weights",
        "",
        "A variant is a model with a named set of weights. This page lists the variants of "
        "`weights/variants.toml`. Accuracies are in per cent, as the authors report them. A dash "
        "means that no accuracy is known. The accuracies of the authors' weights were not measured "
        "for this package.",
    ]
    for state in STATES:
        lines += ["", f"## {_TITLES[state]}", "", _TEXTS[state], ""]
        lines += ["| variant | model | trained on | parameters | accuracy | recipe |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for variant in variants().values():
            if variant.state == state:
                call = variant.call().removeprefix("keras_crate.")
                cells = (
                    f"`{variant.name}`",
                    f"`{call}`",
                    variant.data,
                    f"{variant.parameters:,}",
                    _accuracy(variant),
                    f"`{variant.recipe}`" if variant.recipe else "-",
                )
                lines.append(f"| {' | '.join(cells)} |")
        notes = [v for v in variants().values() if v.state == state and v.notes]
        lines += [""] * bool(notes) + [f"- `{v.name}`: {v.notes}" for v in notes]
    return "\n".join(lines) + "\n"


def _accuracy(variant) -> str:
    if variant.zero_shot is not None:
        return f"{variant.zero_shot:g} (zero-shot)"
    if variant.measured is not None:
        return f"{variant.measured:g} (measured for this package)"
    return "-" if variant.top1 is None else f"{variant.top1:g}"


if __name__ == "__main__":
    page = Path(__file__).parents[1] / "docs" / "zoo.md"
    page.write_text(zoo_page(), encoding="utf8")
    print(page)
