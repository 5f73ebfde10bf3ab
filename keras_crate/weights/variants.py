"""The registry of variants: which weights exist, and where they are."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_crate.checks import did_you_mean, names_arguments
from keras_crate.reading import read_toml
from keras_crate.weights.hub_files import SCHEME, Address, in_cache
from keras_crate.weights.sizes import SIZES, family_of
from keras_crate.weights.tensor_files import needs_pytorch

MODEL_FILE = "model.keras"
LOADS = {  # from where `weights=` loads, by state
    "shipped": "with no network",
    "published": "from the Hub",
    "by hand": "by hand",
    "unpublished": "nowhere",
}
STATES = {
    "shipped": "comes with the package",
    "published": "published by the authors, downloaded when asked for",
    "by hand": "published by the authors where no program can fetch it",
    "unpublished": "nobody has published it",
}
# Arguments of CRATE that choose its stem and operators, and their defaults.
OPERATORS = {"stem": "linear", "compress": "mssa", "sparsify": "ista"}


class Architecture(NamedTuple):
    """What weights and a model must have in common; operators only of a family with a choice."""

    family: str
    dim: int
    depth: int
    heads: int
    patch: tuple[int, int]
    operators: tuple[str, ...] = ()

    def __str__(self) -> str:
        others = () if self.operators in ((), tuple(OPERATORS.values())) else self.operators
        return (
            f"{self.family} of width {self.dim}, {self.depth} blocks, {self.heads} heads, patch "
            f"{self.patch[0]}x{self.patch[1]}{''.join(f', {name}' for name in others)}"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A model with a named set of weights: a table of `variants.toml`, which explains the keys."""

    name: str
    constructor: str
    weights: tuple[str, ...]
    state: str
    data: str
    parameters: int
    paper: str
    arguments: dict = dataclasses.field(default_factory=dict)
    repository: str | None = None
    file: str | None = None
    revision: str | None = None
    sha256: str | None = None
    file_without_pytorch: str | None = None
    source: str | None = None
    form: str | None = None
    licence: str | None = None
    top1: float | None = None
    zero_shot: float | None = None
    measured: float | None = None
    measured_on: str | None = None
    evaluation: dict = dataclasses.field(default_factory=dict)
    outputs: str = "classes"
    recipe: str | None = None
    notes: str = ""

    @property
    def classifies(self) -> bool:
        """Whether its outputs are classes."""
        return self.outputs == "classes"

    def check_classifies(self) -> None:
        """Raises a `ValueError` if its outputs are not classes."""
        if not self.classifies:
            raise ValueError(f"The outputs of {self.name} are not classes: {self.notes}")

    @property
    def names(self) -> tuple[str, ...]:
        """All names that `weights=` accepts for it."""
        return (self.name, *self.weights)

    @property
    def loads(self) -> str:
        """From where `weights=` loads it: a value of `LOADS`, and whether it takes PyTorch."""
        files = [file for file in (self.file, self.file_without_pytorch) if file]
        needs = self.state == "published" and all(map(needs_pytorch, files))
        return f"{LOADS[self.state]}, with PyTorch" if needs else LOADS[self.state]

    @property
    def shipped_file(self) -> Path:
        """Path of the weights if they ship with the package."""
        return weights_folder() / self.name / MODEL_FILE

    @property
    def address(self) -> Address | None:
        """The repository and revision on the Hub."""
        return Address(self.repository, self.revision) if self.repository else None

    @property
    def is_cached(self) -> bool:
        """Whether the weights are on this machine."""
        if self.state == "shipped":
            return True
        files = [file for file in (self.file, self.file_without_pytorch) if file]
        return any(in_cache(self.address, file) for file in files)

    @property
    def architecture(self) -> Architecture:
        """What weights and a model must have in common."""
        size = SIZES.get(self.constructor)
        family, numbers, patch = self.constructor, self.arguments, 16
        if size is not None:
            family, numbers, patch = family_of(family), size._asdict(), size.patch
        patch = tuple(int(n) for n in np.broadcast_to(self.arguments.get("patch_size", patch), 2))
        operators = ()
        if family == "CRATE":
            operators = tuple(self.arguments.get(k, usual) for k, usual in OPERATORS.items())
        return Architecture(
            family, numbers["dim"], numbers["depth"], numbers["heads"], patch, operators
        )

    def call(self) -> str:
        """The Python line that makes the model."""
        # The weights set these themselves.
        implied = ("class_names", "epsilon", "mean", "std")
        given = {k: v for k, v in self.arguments.items() if k not in implied}
        given["weights"] = self.weights[0]
        words = (f'{k}="{v}"' if isinstance(v, str) else f"{k}={v!r}" for k, v in given.items())
        return f"keras_crate.{self.constructor}({', '.join(words)})"


# The size and resizing of images in the evaluation on ImageNet: the defaults of `Evaluation`.
IMAGENET_EVALUATION = {"size": [224, 224], "resize": 256, "interpolation": "bilinear"}


@functools.cache
def variants() -> dict[str, Variant]:
    """All variants by name."""
    tables = read_toml(weights_folder() / "variants.toml")
    return {name: _variant(name, table) for name, table in tables.items()}


def names_of_variants() -> list[str]:
    """Returns all names of all variants, for the question "Did you mean"."""
    return list(dict.fromkeys(name for variant in variants().values() for name in variant.names))


def lookup(name: str) -> Variant | None:
    """Returns the variant of a name, or None if there is none.

    It is its own name, or another of its names if no other variant has it, such as
    `"mnist"`.
    """
    if name in variants():
        return variants()[name]
    found = [variant for variant in variants().values() if name in variant.names]
    if len(found) > 1:
        raise ValueError(
            f"{name!r} is the name of {len(found)} variants: {found[0].name}, {found[1].name}, ... "
            "Give the name of one of them; `keras-crate weights` lists all."
        )
    return found[0] if found else None


def variant_named(name: str) -> Variant:
    """As `lookup`, for a name that must be a variant's."""
    found = lookup(name)
    if found is None:
        raise ValueError(
            "There is no variant of this name. `keras-crate weights` lists all. "
            f"Received: {name!r}{did_you_mean(name, names_of_variants())}"
        )
    return found


def weights_folder() -> Path:
    """The registry's folder: in the installed package, or beside it in a git checkout."""
    here = Path(__file__).parent
    installed = here / "files"
    return installed if installed.is_dir() else here.parents[1] / "weights"


def _variant(name: str, table: dict) -> Variant:
    arguments = {
        k: tuple(v) if isinstance(v, list) else v for k, v in table.get("arguments", {}).items()
    }
    names = tuple(table["weights"])
    evaluation = {**IMAGENET_EVALUATION, **table.get("evaluation", {})}
    values = {**table, "arguments": arguments, "weights": names, "evaluation": evaluation}
    return Variant(name=name, **values)


class ListedWeights(NamedTuple):
    """A row of `list_weights`.

    Attributes:
        variant: Its name.
        call: The Python line that makes the model.
        parameters: Number of parameters.
        data: What it was trained on.
        top1: Top-1 accuracy in per cent as the authors report it, or None.
        measured: Accuracy in per cent measured for this package, or None.
        source: Where the weights come from, or None.
        state: `"shipped"`, `"published"`, `"by hand"` or `"unpublished"`.
        loads: From where it loads, such as `"with no network"` or `"from the Hub"`.
        cached: Whether the weights are on this machine.
    """

    variant: str
    call: str
    parameters: int
    data: str
    top1: float | None
    measured: float | None
    source: str | None
    state: str
    loads: str
    cached: bool


class WeightsList(list):
    """Rows of `list_weights`, which print as a table."""

    def __str__(self) -> str:
        head = ("variant", "parameters", "data", "top-1", "measured", "loads", "source", "cached")
        rows = [
            (
                row.variant,
                f"{row.parameters:,}",
                row.data,
                "-" if row.top1 is None else f"{row.top1:g}",
                "-" if row.measured is None else f"{row.measured:g}",
                row.loads,
                (row.source or "-").partition(" (")[0],
                "yes" if row.cached else "no",
            )
            for row in self
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (head, *rows)
        ]
        note = "top-1: per cent, as reported by the authors. measured: by this package."
        meanings = (f"{LOADS[state]}: {words}" for state, words in STATES.items())
        return "\n".join([*lines, "", note, *meanings])


@names_arguments
def list_weights() -> WeightsList:
    """Lists all weights that exist or were reported, also those that cannot be loaded.

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
            parameters=variant.parameters,
            data=variant.data,
            top1=variant.top1,
            measured=variant.measured,
            source=f"{SCHEME}{variant.repository}" if variant.repository else variant.source,
            state=variant.state,
            loads=variant.loads,
            cached=variant.is_cached,
        )
        for variant in variants().values()
    )
