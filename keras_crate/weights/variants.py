"""The registry of variants: which weights exist, where, and what is known of them."""

import dataclasses
import difflib
import functools
import json
import re
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_crate.files import cache_folder, read_record
from keras_crate.evaluation import Evaluation
from keras_crate.weights.hub_files import SCHEME
from keras_crate.models.sizes import SIZES, family_of

MODEL_FILE = "model.keras"

# What a variant's weights are to a user.
STATES = {
    "shipped": "comes with the package",
    "published": "published by the authors, downloaded and converted when asked for",
    "by hand": "published by the authors where no program can fetch it",
    "unpublished": "nobody has published them",
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model with certain weights.

    Attributes:
        name: Its folder's name.
        folder: Holds the card, the configuration, the provenance, and the
            weights where they are small.
        weights: What `weights=` calls it.
        also: What `weights=` may call it too.
        constructor: Name of the model's constructor.
        arguments: Of the constructor.
        evaluation: How images are prepared for the reported accuracy.
        outputs: `"classes"`, or `"embeddings"` where they are none.
        provenance: Where the weights come from, in what form, under which
            licence, with what accuracy.
    """

    name: str
    folder: Path
    weights: str
    also: tuple[str, ...]
    constructor: str
    arguments: dict
    evaluation: Evaluation
    outputs: str
    provenance: dict

    @property
    def classifies(self) -> bool:
        """Whether its outputs are classes."""
        return self.outputs == "classes"

    @property
    def names(self) -> tuple[str, ...]:
        """All that `weights=` may call it."""
        return (self.weights, *self.also)

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self.provenance["state"]

    @property
    def architecture(self) -> tuple:
        """Family, width, blocks, heads and patch: what weights and model must share."""
        size = SIZES.get(self.constructor)
        family = self.constructor
        dim, depth, heads = (self.arguments.get(k) for k in ("dim", "depth", "heads"))
        patch = self.arguments.get("patch_size", 16)
        if size is not None:
            family = family_of(self.constructor)
            dim, depth, heads = size.dim, size.depth, size.heads
            patch = self.arguments.get("patch_size", size.patch)
        return family, dim, depth, heads, tuple(int(n) for n in np.broadcast_to(patch, 2))

    def call(self) -> str:
        """The Python line that makes the model."""
        # What the weights bring themselves need not be said.
        implied = ("class_names", "epsilon", "mean", "std")
        given = {k: v for k, v in self.arguments.items() if k not in implied}
        given["weights"] = self.weights
        words = ", ".join(f"{k}={_literal(v)}" for k, v in given.items())
        return f"keras_crate.{self.constructor}({words})"

    def build(self, **arguments):
        """Makes the model, with the weights unless `weights=None` is given."""
        import keras_crate

        given = {"weights": self.weights, **self.arguments, **arguments}
        data_format = given.get("data_format") or keras.config.image_data_format()
        own_shape = "input_shape" in self.arguments and "input_shape" not in arguments
        if own_shape and data_format == "channels_first":
            height, width, channels = given["input_shape"]
            given["input_shape"] = (channels, height, width)
        return getattr(keras_crate, self.constructor)(**given)


class ListedWeights(NamedTuple):
    """A row of `list_weights`.

    Attributes:
        variant: Its name.
        call: The Python line that makes the model.
        parameters: How many, or None where the size is not a published one.
        data: What it was trained on.
        top1: Reported top-1 accuracy in per cent, or None.
        measured: Accuracy measured for this package in per cent, or None.
        source: Where the weights come from, or None.
        state: `"shipped"`, `"published"`, `"by hand"` or `"unpublished"`.
        cached: Whether they are on this machine.
    """

    variant: str
    call: str
    parameters: int | None
    data: str
    top1: float | None
    measured: float | None
    source: str | None
    state: str
    cached: bool


class WeightsList(list):
    """Rows of `list_weights`, which print as a table."""

    def __str__(self) -> str:
        head = ("variant", "parameters", "data", "top-1", "measured", "state", "source", "cached")
        rows = [
            (
                row.variant,
                f"{row.parameters:,}" if row.parameters else "-",
                row.data,
                f"{row.top1:g}" if row.top1 is not None else "-",
                f"{row.measured:g}" if row.measured is not None else "-",
                row.state,
                (row.source or "-").partition(" (")[0],
                "yes" if row.cached else "no",
            )
            for row in self
        ]
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
        states = [f"{state}: {words}" for state, words in STATES.items()]
        note = "top-1: per cent, as reported by the authors. measured: by us."
        return "\n".join([*lines, "", note, *states])


def list_weights() -> WeightsList:
    """All weights that exist or were reported, whether or not they can be had.

    Returns:
        A list of `ListedWeights`, which prints as a table.

    Example:

    ```python
    print(keras_crate.hub.list_weights())
    loadable = [w for w in keras_crate.hub.list_weights() if w.state == "shipped"]
    ```
    """
    return WeightsList(
        ListedWeights(
            variant=variant.name,
            call=variant.call(),
            parameters=variant.provenance.get("parameters"),
            data=variant.provenance["data"],
            top1=_top1(variant),
            measured=variant.provenance["accuracy"]["measured"],
            source=variant.provenance["source"],
            state=variant.state,
            cached=is_cached(variant),
        )
        for variant in variants().values()
    )


@functools.cache
def variants() -> dict[str, Variant]:
    """All variants by name, in alphabetical order."""
    folders = sorted(path.parent for path in weights_folder().glob("*/config.json"))
    return {folder.name: read_variant(folder) for folder in folders}


def _top1(variant: Variant) -> float | None:
    accuracy = variant.provenance["accuracy"]
    return accuracy["reported"] if accuracy["metric"] == "top-1" else None


def variant_named(name: str) -> Variant:
    """The variant of a name.

    Raises:
        ValueError: If there is none; the error has near names.
    """
    if name not in variants():
        close = difflib.get_close_matches(name, variants(), n=3)
        advice = f"Did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"There is no variant {name!r}. {advice}`keras-crate weights` lists all of them."
        )
    return variants()[name]


def weights_folder() -> Path:
    """The registry's folder: in the package where it is installed, beside it in a checkout."""
    here = Path(__file__).parent
    inside = here / "files"
    return inside if inside.is_dir() else here.parents[1] / "weights"


def read_variant(folder: Path) -> Variant:
    """The variant that a folder describes."""
    config = json.loads((folder / "config.json").read_text("utf8"))
    provenance = json.loads((folder / "provenance.json").read_text("utf8"))
    return Variant(
        name=folder.name,
        folder=folder,
        weights=config["weights"],
        also=tuple(config.get("also", ())),
        constructor=config["constructor"],
        arguments=_arguments(config["arguments"]),
        evaluation=Evaluation.from_dict(config["evaluation"]),
        outputs=config.get("outputs", "classes"),
        provenance=provenance,
    )


def converted_file(variant: Variant) -> Path:
    """Where the conversion of the authors' file is kept."""
    return cache_folder() / "converted" / f"{variant.name}.keras"


def arrival_record(variant: Variant, source: str) -> Path:
    """Where it is noted what first arrived of a variant from a source."""
    place = re.sub(r"[^A-Za-z0-9.-]+", "_", source.removeprefix(SCHEME))
    return cache_folder() / "arrivals" / variant.name / f"{place}.json"


def is_cached(variant: Variant) -> bool:
    """Whether the weights are on this machine."""
    if (variant.folder / MODEL_FILE).is_file() or converted_file(variant).is_file():
        return True
    from huggingface_hub import try_to_load_from_cache

    for path in arrival_record(variant, "").parent.glob("*.json"):
        record = read_record(path) or {}
        repository = record.get("source", "").removeprefix(SCHEME)
        if repository.count("/") == 1:  # the others are files of the authors
            commit = record.get("commit")
            found = try_to_load_from_cache(repository, "model.weights.h5", revision=commit)
            if isinstance(found, str):
                return True
    return False


def _arguments(arguments: dict) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}


def _literal(value) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
