"""Finds the layout of a checkpoint, and turns its tensors into a model's variables."""

import re
from typing import NamedTuple

import numpy as np

from keras_crate.weights.layout import Dimensions, Layout, dimensions
from keras_crate.weights.layouts import LAYOUTS
from keras_crate.weights.sizes import SIZES, constructor_of
from keras_crate.weights.tensor_files import Tensor

_SHOWN = 5  # names in an error message
# The authors' segmentation checkpoints have this size, this classifier, and other heads
# than the published size.
_SEGMENTATION = (768, 12, 8 * 8 * 3)
_SEGMENTATION_CLASSES, _SEGMENTATION_HEADS = 21_842, 6


class Recognised(NamedTuple):
    """A checkpoint whose layout is known and whose tensors are complete."""

    layout: Layout
    size: Dimensions
    tensors: dict[str, Tensor]  # by the authors' names
    is_backbone: bool  # with heads for another task; its model has no head

    def variables(self) -> dict[str, Tensor]:
        """Returns the values of a model's variables by path, made from the tensors."""
        found = {}
        for entry in self.layout.entries(self.size):
            tensor = self.tensors[entry.name]
            read = lambda entry=entry, read=tensor.read: entry.to_variable(read())  # noqa: E731
            found[entry.path] = Tensor(entry.variable_shape, tensor.dtype, read)
        for path, dimension in self.layout.zeros.items():
            if length := getattr(self.size, dimension):
                zeros = np.zeros(length, "float32")
                found[path] = Tensor(zeros.shape, "float32", lambda zeros=zeros: zeros)
        return found

    def unused(self) -> list[str]:
        """Names of the tensors that no variable needs."""
        return sorted(self.tensors.keys() - {e.name for e in self.layout.entries(self.size)})

    def heads(self) -> int | None:
        """The number of heads that a shape or the published size shows, or None."""
        if self.size.heads is not None:
            return self.size.heads
        if not self.size.output_map:
            return 1
        family, size = self.layout.family, self.size
        if family == "CRATE" and (size.dim, size.depth, size.pixels) == _SEGMENTATION:
            classifier = self.tensors.get("head.weight")
            is_demo = classifier is not None and classifier.shape[0] == _SEGMENTATION_CLASSES
            return _SEGMENTATION_HEADS if is_demo else None
        constructor = constructor_of(family, size.dim, size.depth)
        return None if constructor is None else SIZES[constructor].heads


def recognise(tensors: dict[str, Tensor], origin: str) -> Recognised:
    """Finds the layout of a checkpoint and checks that it is complete."""
    layout = layout_of(tensors)
    if layout is None:
        raise ValueError(
            f"The tensors of {origin} have no known layout "
            f"({', '.join(known.title for known in LAYOUTS)}).\n"
            f"Received {len(tensors)} tensors, such as: {', '.join(sorted(tensors)[:_SHOWN])}"
        )
    if layout.prepare is not None:
        tensors = layout.prepare(tensors)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    size = dimensions(layout, shapes)
    if size is None:
        raise ValueError(
            f"{origin} looks like {layout.title}, but its width and its number of blocks are not "
            f"known: {layout.keys['positions']} or the blocks are missing.\nIt has: "
            f"{_listed(shapes)}. Nothing was loaded."
        )
    if size.depth > len(tensors):
        raise ValueError(
            f"{origin} has a block numbered {size.depth - 1}, but only {len(tensors)} tensors: "
            "blocks are missing. Nothing was loaded."
        )
    entries = {entry.name: entry for entry in layout.entries(size)}
    unknown = shapes.keys() - entries.keys()
    unused = {name for name in unknown if layout.unused and re.match(layout.unused, name)}
    problems = {
        "Missing": [name for name in entries if name not in shapes],
        "Of another shape": [
            f"{name} {shapes[name]}, expected ({', '.join(str(n or '?') for n in entry.shape)})"
            for name, entry in entries.items()
            if shapes.get(name, entry.shape) != entry.shape
        ],
        "Not known": sorted(unknown - unused),
    }
    if any(problems.values()):
        lists = [f"{kind} ({len(n)}): {_listed(n)}." for kind, n in problems.items() if n]
        raise ValueError(
            f"{origin} is not a complete {layout.title} of width {size.dim} and {size.depth} "
            f"blocks.\n{' '.join(lists)}\nNothing was loaded."
        )
    return Recognised(layout, size, tensors, bool(unused) and layout.family == "CRATE")


def layout_of(names) -> Layout | None:
    """Returns the layout of tensors with these names, or None."""
    for layout in LAYOUTS:
        if any(re.match(layout.recognised, name) for name in names):
            return layout
    return None


def _listed(names) -> str:
    names = list(names)
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(names[:_SHOWN]) + more
