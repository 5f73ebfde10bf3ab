"""What a layout is: how a checkpoint names, shapes and transposes a model's weights.

A layout lists the authors' tensors beside the paths of the model's variables. It
is read in both directions: `recognise` turns a checkpoint's tensors into variables,
and `hub.to_pytorch` turns a model's variables into tensors.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from keras_crate.weights.tensor_files import Tensor


class Entry(NamedTuple):
    """One tensor of a checkpoint, and the variable of a model that it becomes."""

    name: str  # the authors'
    shape: tuple[int, ...]  # the authors'
    path: str  # of the model's variable
    form: str = "same"  # values in the same order, "transposed", or a "convolution"
    reshaped: tuple[int, ...] | None = None  # the variable's shape, if the form does not give it

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """Shape of the model's variable."""
        if self.form == "transposed":
            return self.shape[::-1]
        if self.form == "convolution" and not self.reshaped:  # (d, channels, rows, columns)
            return (math.prod(self.shape[1:]), self.shape[0])
        return self.reshaped or self.shape

    def to_variable(self, values: np.ndarray) -> np.ndarray:
        """Turns the authors' tensor into the model's variable."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":
            values = values.transpose(2, 3, 1, 0)
        return values.reshape(self.variable_shape)

    def to_tensor(self, values: np.ndarray) -> np.ndarray:
        """Turns the model's variable into the authors' tensor."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":
            dim, channels, rows, columns = self.shape
            values = values.reshape(rows, columns, channels, dim).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(values.reshape(self.shape))


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """A model's dimensions, as the shapes of its tensors show them."""

    dim: int
    depth: int  # number of blocks
    pixels: int  # numbers in a patch
    positions: int  # rows of the table of positions
    classes: int | None = None  # outputs of the head, or None without one
    patch: tuple[int, int, int] | None = None  # rows, columns, channels; None if stored flattened
    heads: int | None = None  # number of subspaces, or None if no shape shows it
    output_map: bool = True  # whether the attention has one
    ratio: int = 4  # atoms of an overcomplete dictionary for each dimension


@dataclasses.dataclass(frozen=True)
class Layout:
    """One kind of checkpoint of the authors' code."""

    title: str
    family: str  # name of the model's class
    recognised: str  # regular expression for names that no later layout has
    # From a model's dimensions to its tensors.
    entries: Callable[[Dimensions], list[Entry]]
    keys: Mapping[str, str]  # of the tensors that `dimensions` reads; some are regular expressions
    settings: Mapping = dataclasses.field(default_factory=dict)  # arguments of the constructor
    unused: str | None = None  # regular expression of tensors that no model uses
    unused_are: str = ""  # what they are, for a warning
    # Paths of biases that the authors' layers lack, and their dimension.
    zeros: Mapping[str, str] = dataclasses.field(default_factory=dict)
    # Changes the tensors before they are compared.
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    token_rank: int = 3  # of the class token and of the table of positions


def dimensions(layout: Layout, shapes: Mapping[str, tuple]) -> Dimensions | None:
    """A model's dimensions, as the shapes of a checkpoint show them; None without width and depth.

    A dimension is 0 where the tensor that shows it is missing or has another rank.
    """
    keys = layout.keys

    def shape(key: str, rank: int) -> tuple:
        found = shapes.get(keys.get(key), ())
        return found if len(found) == rank else (0,) * rank

    blocks = {int(m.group(1)) for m in map(re.compile(keys["block"]).match, shapes) if m}
    positions = shape("positions", layout.token_rank)
    dim = positions[-1] or shape("dim", 3)[-1]
    if not (blocks and dim):
        return None
    patch = None
    if "convolution" in keys:
        _, channels, rows, columns = shape("convolution", 4)
        patch = (rows, columns, channels)
    elif "kernel" in keys:
        patch = shape("kernel", 4)[:3]
    elif "stem" in keys:
        patch = _patch_of_stem([s for k, s in sorted(shapes.items()) if re.match(keys["stem"], k)])
    heads = None
    if "heads" in keys:  # (d, heads, p)
        heads = shape("heads", 3)[1] or 1
    elif "steps" in keys:  # (heads, 1, 1)
        heads = shape("steps", 3)[0] or 1
    classes = None
    if keys.get("head") in shapes:
        classes = shape("head", 2)[0]  # (classes, dim)
    elif keys.get("projection") in shapes:
        classes = shape("projection", 2)[1]  # (dim, classes)
    return Dimensions(
        dim=dim,
        depth=max(blocks) + 1,
        pixels=math.prod(patch) if patch else shape("pixels", 1)[0],
        positions=positions[-2],
        classes=classes,
        patch=patch,
        heads=heads,
        output_map="output_map" not in keys
        or any(re.match(keys["output_map"], name) for name in shapes),
        ratio=shape("dictionary", 2)[1] // dim or 4,
    )


def _patch_of_stem(kernels: list[tuple]) -> tuple[int, int, int]:
    """The patch of a stem of convolutions, each of which halves height and width."""
    side = 2 ** len(kernels)
    channels = kernels[0][1] if kernels and len(kernels[0]) == 4 else 0
    return side, side, channels


def dimensions_of_model(model) -> Dimensions:
    """The dimensions of one of our models."""
    s = model.settings
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    positions = shapes["token_embedding/positions"][1]
    rows, columns = s.patch_size
    channels = s.input_shape[-1 if s.data_format == "channels_last" else 0]
    return Dimensions(
        dim=s.dim,
        depth=s.depth,
        pixels=rows * columns * channels,
        positions=positions,
        classes=shapes.get("head/kernel", (None, None))[1],
        patch=(rows, columns, channels),
        heads=s.heads,
        output_map="block_0_mssa/output_projection/kernel" in shapes,
        ratio=getattr(s, "ratio", 4),
    )
