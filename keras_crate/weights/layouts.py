"""Layouts: how the authors' checkpoints name, shape and transpose a model's weights.

A layout lists the authors' tensors beside the paths of the model's variables. It
is read in both directions: `from_authors` makes variables of a checkpoint,
`hub.to_pytorch` a checkpoint of a model.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from keras_crate.weights.sizes import SIZES, constructor_of
from keras_crate.weights.tensor_files import Tensor

_SHOWN = 5  # names in an error message
# The authors' segmentation checkpoints have this size, this classifier, and other heads
# than the published size.
_SEGMENTATION = (768, 12, 8 * 8 * 3)
_SEGMENTATION_CLASSES, _SEGMENTATION_HEADS = 21_842, 6


class Entry(NamedTuple):
    """One tensor of a checkpoint.

    Attributes:
        name: The authors' name.
        shape: The authors' shape.
        path: Path of the model's variable.
        form: How the variable is made of the tensor: `"same"` (values in the
            same order, reshaped), `"transposed"`, or `"convolution"`.
        reshaped: Shape of the variable, where it is not that of the form.
    """

    name: str
    shape: tuple[int, ...]
    path: str
    form: str = "same"
    reshaped: tuple[int, ...] | None = None

    @property
    def variable_shape(self) -> tuple[int, ...]:
        """Shape of the model's variable."""
        if self.form == "transposed":
            return self.shape[::-1]
        if self.form == "convolution":  # (d, channels, rows, columns)
            return (math.prod(self.shape[1:]), self.shape[0])
        return self.reshaped or self.shape

    def to_variable(self, values: np.ndarray) -> np.ndarray:
        """The model's variable, of the authors' tensor."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":
            values = values.transpose(2, 3, 1, 0)
        return values.reshape(self.variable_shape)

    def to_tensor(self, values: np.ndarray) -> np.ndarray:
        """The authors' tensor, of the model's variable."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":
            dim, channels, rows, columns = self.shape
            values = values.reshape(rows, columns, channels, dim).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(values.reshape(self.shape))


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """A model's dimensions, as the shapes of its tensors show them.

    Attributes:
        dim: Token width.
        depth: Number of blocks.
        pixels: Numbers in a patch.
        positions: Rows of the table of positions.
        classes: Outputs of the head, or None without one.
        patch: `(rows, columns, channels)` of a patch, or None where a
            flattened patch does not show them.
        heads: Number of subspaces, or None where no shape shows it.
        output_map: Whether MSSA has an output map.
        ratio: Atoms of an overcomplete dictionary for each dimension.
    """

    dim: int
    depth: int
    pixels: int
    positions: int
    classes: int | None = None
    patch: tuple[int, int, int] | None = None
    heads: int | None = None
    output_map: bool = True
    ratio: int = 4


@dataclasses.dataclass(frozen=True)
class Layout:
    """One of the authors' formats.

    Attributes:
        title: What to call it.
        family: Name of the model's class.
        recognised: Regular expression that a name of its tensors matches, and no
            name of a later layout.
        entries: Its tensors, for a model's dimensions.
        keys: Names of the tensors that show the dimensions, see `dimensions`;
            of blocks and the output map, regular expressions.
        settings: Arguments of the model's constructor that it implies.
        unused: Regular expression of tensors that the model does not use.
        unused_are: What these are.
        zeros: Paths of biases that the authors' layers lack, and their dimension.
        token_rank: Rank of its class token and of its table of positions.
        prepare: Changes tensors of other shapes before they are read.
    """

    title: str
    family: str
    recognised: str
    entries: Callable[[Dimensions], list[Entry]]
    keys: Mapping[str, str]
    settings: Mapping = dataclasses.field(default_factory=dict)
    unused: str | None = None
    unused_are: str = ""
    zeros: Mapping[str, str] = dataclasses.field(default_factory=dict)
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None
    token_rank: int = 3


def _pair(ours: str, theirs: str, size: int, names=("weight", "bias"), join=".") -> list[Entry]:
    """Scale and offset of a normalisation."""
    return [
        Entry(f"{theirs}{join}{name}", (size,), f"{ours}/{weight}")
        for name, weight in zip(names, ("gamma", "beta"), strict=True)
    ]


def _linear(ours: str, theirs: str, inputs: int, outputs: int, bias=True) -> list[Entry]:
    """A linear layer of PyTorch, whose weight is (outputs, inputs)."""
    kernel = Entry(f"{theirs}.weight", (outputs, inputs), f"{ours}/kernel", "transposed")
    return [kernel, Entry(f"{theirs}.bias", (outputs,), f"{ours}/bias")][: 2 if bias else 1]


def _convolution(theirs: str, s: Dimensions, bias=True) -> list[Entry]:
    rows, columns, channels = s.patch
    ours = "patch_embedding/projection"
    shape = (s.dim, channels, rows, columns)
    kernel = Entry(f"{theirs}.weight", shape, f"{ours}/kernel", "convolution")
    return [kernel, Entry(f"{theirs}.bias", (s.dim,), f"{ours}/bias")][: 2 if bias else 1]


def _tokens(s: Dimensions, token: str, positions: str) -> list[Entry]:
    return [
        Entry(token, (1, 1, s.dim), "token_embedding/class_token"),
        Entry(positions, (1, s.positions, s.dim), "token_embedding/positions"),
    ]


def _mssa(ours: str, theirs: str, s: Dimensions, bias: bool) -> list[Entry]:
    entries = _linear(f"{ours}/subspaces", f"{theirs}.qkv", s.dim, s.dim, bias=False)
    if s.output_map:
        entries += _linear(f"{ours}/output_projection", f"{theirs}.to_out.0", s.dim, s.dim, bias)
    return entries


def _head(s: Dimensions) -> list[Entry]:
    if s.classes is None:
        return []
    return _pair("head_norm", "mlp_head.0", s.dim) + _linear("head", "mlp_head.1", s.dim, s.classes)


def _crate(s: Dimensions) -> list[Entry]:
    entries = [
        *_pair("patch_embedding/patch_norm", "to_patch_embedding.1", s.pixels),
        *_linear("patch_embedding/projection", "to_patch_embedding.2", s.pixels, s.dim),
        *_pair("patch_embedding/norm", "to_patch_embedding.3", s.dim),
        *_tokens(s, "cls_token", "pos_embedding"),
    ]
    for i in range(s.depth):
        ours, mssa, ista = f"block_{i}", *(f"transformer.layers.{i}.{k}" for k in (0, 1))
        entries += _pair(f"{ours}_norm_1", f"{mssa}.norm", s.dim)
        entries += _mssa(f"{ours}_mssa", f"{mssa}.fn", s, bias=True)
        entries += _pair(f"{ours}_norm_2", f"{ista}.norm", s.dim)
        # The dictionary itself: x D^T is what PyTorch's linear map makes of it.
        entries.append(Entry(f"{ista}.fn.weight", (s.dim, s.dim), f"{ours}_ista/dictionary/kernel"))
    return entries + _head(s)


def _dictionaries(ours: str, names: tuple[str, str], s: Dimensions) -> list[Entry]:
    shape = (s.dim, s.ratio * s.dim)
    return [
        Entry(names[0], shape, f"{ours}_overcomplete_ista/dictionary/kernel"),
        Entry(names[1], shape, f"{ours}_overcomplete_ista/output_dictionary/kernel", "transposed"),
    ]


def _alpha(s: Dimensions) -> list[Entry]:
    entries = _convolution("conv1", s) + _tokens(s, "cls_token", "pos_embedding")
    for i in range(s.depth):
        ours, mssa, ista = f"block_{i}", *(f"transformer.layers.{i}.{k}" for k in (0, 1))
        entries += _pair(f"{ours}_norm_1", f"{mssa}.norm", s.dim)
        entries += _mssa(f"{ours}_mssa", f"{mssa}.fn", s, bias=False)
        entries += _pair(f"{ours}_norm_2", f"{ista}.norm", s.dim)
        entries += _dictionaries(ours, (f"{ista}.fn.D", f"{ista}.fn.D1"), s)
    return entries + _head(s)


def _alpha_jax(s: Dimensions) -> list[Entry]:
    rows, columns, channels = s.patch

    def norm(ours, theirs):
        return _pair(ours, theirs, s.dim, ("scale", "bias"), "/")

    kernel = (rows, columns, channels, s.dim)
    entries = [
        Entry(
            "embedding/kernel",
            kernel,
            "patch_embedding/projection/kernel",
            reshaped=(s.pixels, s.dim),
        ),
        Entry("embedding/bias", (s.dim,), "patch_embedding/projection/bias"),
        *_tokens(s, "cls", "pos_embedding"),
    ]
    split, square = (s.heads, s.dim // s.heads), (s.dim, s.dim)
    for i in range(s.depth):
        ours, theirs = f"block_{i}", f"Transformer/encoderblock_{i}"
        mssa = f"{theirs}/MultiHeadDotProductSubspaceAttention_0"
        ista = f"{theirs}/OvercompleteISTABlock_0"
        entries += norm(f"{ours}_norm_1", f"{theirs}/LayerNorm_0")
        entries += [
            Entry(
                f"{mssa}/proj/kernel",
                (s.dim, *split),
                f"{ours}_mssa/subspaces/kernel",
                reshaped=square,
            ),
            Entry(
                f"{mssa}/out/kernel",
                (*split, s.dim),
                f"{ours}_mssa/output_projection/kernel",
                reshaped=square,
            ),
        ][: 2 if s.output_map else 1]
        entries += norm(f"{ours}_norm_2", f"{theirs}/LayerNorm_1")
        entries += _dictionaries(ours, (f"{ista}/D", f"{ista}/D1"), s)
    if s.classes is not None:
        entries += norm("head_norm", "encoder_norm")
        entries.append(Entry("head/kernel", (s.dim, s.classes), "head/kernel"))
        entries.append(Entry("head/bias", (s.classes,), "head/bias"))
    return entries


def _mae(s: Dimensions) -> list[Entry]:
    entries = [
        *_convolution("patch_embed.proj", s),
        Entry("mask_token", (1, 1, s.dim), "patch_masking/mask_token"),
        *_tokens(s, "cls_token", "decoder_pos_embed"),
    ]
    for i in range(s.depth):
        ours, theirs = f"block_{i}", f"blocks.{i}.layers.0"
        entries += _pair(f"{ours}_norm_1", f"{theirs}.0.norm", s.dim)
        entries += _mssa(f"{ours}_mssa", f"{theirs}.0.fn", s, bias=True)
        entries += _pair(f"{ours}_norm_2", f"{theirs}.1.norm", s.dim)
        dictionary = (s.dim, s.dim)
        entries.append(Entry(f"{theirs}.1.fn.weight", dictionary, f"{ours}_ista/dictionary/kernel"))
        ours, theirs = f"decoder_{ours}", f"decoder_{theirs}"
        entries += _pair(f"{ours}_norm_1", f"{theirs}.0.norm", s.dim)
        entries += _linear(f"{ours}_dictionary", f"{theirs}.0.fn", s.dim, s.dim, bias=False)
        entries += _pair(f"{ours}_norm_2", f"{theirs}.1.norm", s.dim)
        entries += _mssa(f"{ours}_mssa", f"{theirs}.1.fn", s, bias=True)
    entries += _pair("encoder_norm", "norm", s.dim)
    entries += _pair("decoder_norm", "decoder_norm", s.dim)
    return entries + _linear("decoder_prediction", "decoder_pred", s.dim, s.pixels)


def _clipa(s: Dimensions) -> list[Entry]:
    entries = [
        *_convolution("visual.conv1", s, bias=False),
        Entry(
            "visual.class_embedding",
            (s.dim,),
            "token_embedding/class_token",
            reshaped=(1, 1, s.dim),
        ),
        Entry(
            "visual.positional_embedding",
            (s.positions, s.dim),
            "token_embedding/positions",
            reshaped=(1, s.positions, s.dim),
        ),
    ]
    for i in range(s.depth):
        ours, theirs = f"block_{i}", f"visual.transformer.resblocks.{i}"
        square = (s.dim, s.dim)
        subspaces = f"{ours}_mssa/subspaces/kernel"
        entries += _pair(f"{ours}_norm_1", f"{theirs}.ln_1", s.dim)
        entries.append(Entry(f"{theirs}.attn.in_proj_weight", square, subspaces, "transposed"))
        out = f"{theirs}.attn.out_proj"
        entries += _linear(f"{ours}_mssa/output_projection", out, s.dim, s.dim, bias=False)
        entries += _pair(f"{ours}_norm_2", f"{theirs}.ln_2", s.dim)
        entries += _dictionaries(ours, (f"{theirs}.mlp.c_fc", f"{theirs}.mlp.c_proj"), s)
    if s.classes is not None:
        entries += _pair("head_norm", "visual.ln_post", s.dim)
        entries.append(Entry("visual.proj", (s.dim, s.classes), "head/kernel"))
    return entries


def _one_projection(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIPA's attention stacks query, key and value, which are the same in CRATE: keeps one."""

    def one_of_three(name: str, tensor: Tensor) -> Tensor:
        def read():
            query, key, value = np.split(tensor.read(), 3)
            if not (np.array_equal(query, key) and np.array_equal(query, value)):
                raise ValueError(
                    f"{name} has different projections for query, key and value. A CRATE-alpha "
                    "has one projection for all three."
                )
            return query

        return tensor._replace(shape=(tensor.shape[1], tensor.shape[1]), read=read)

    return {
        name: one_of_three(name, tensor)
        if re.fullmatch(r"visual\..*\.in_proj_weight", name)
        and len(tensor.shape) == 2
        and tensor.shape[0] == 3 * tensor.shape[1]
        else tensor
        for name, tensor in tensors.items()
    }


_TORCH_KEYS = {
    "dim": "cls_token",
    "positions": "pos_embedding",
    "block": r"transformer\.layers\.(\d+)\.",
    "output_map": r"transformer\.layers\.\d+\.0\.fn\.to_out",
    "head": "mlp_head.1.weight",
}

_JAX_MSSA = "Transformer/encoderblock_0/MultiHeadDotProductSubspaceAttention_0"

# In the order in which they are tried.
LAYOUTS = (
    Layout(
        title="CRATE-alpha-CLIPA of PyTorch",
        family="CRATEAlpha",
        recognised=r"visual\.",
        entries=_clipa,
        keys={
            "positions": "visual.positional_embedding",
            "block": r"visual\.transformer\.resblocks\.(\d+)\.",
            "convolution": "visual.conv1.weight",
            "dictionary": "visual.transformer.resblocks.0.mlp.c_fc",
            "projection": "visual.proj",
        },
        settings={"epsilon": 1e-6, "classifier_activation": None},
        unused=r"(?!visual\.)",
        unused_are="the text tower",
        zeros={"patch_embedding/projection/bias": "dim", "head/bias": "classes"},
        prepare=_one_projection,
        token_rank=2,
    ),
    Layout(
        title="CRATE-alpha of JAX",
        family="CRATEAlpha",
        recognised=r"Transformer/encoderblock_|embedding/kernel$",
        entries=_alpha_jax,
        keys={
            "dim": "cls",
            "positions": "pos_embedding",
            "block": r"Transformer/encoderblock_(\d+)/",
            "kernel": "embedding/kernel",
            "heads": f"{_JAX_MSSA}/proj/kernel",
            "output_map": r"Transformer/.*/out/kernel",
            "dictionary": "Transformer/encoderblock_0/OvercompleteISTABlock_0/D",
            "projection": "head/kernel",
        },
        settings={"epsilon": 1e-6},
    ),
    Layout(
        title="CRATE-MAE of PyTorch",
        family="CRATEMAE",
        recognised=r"decoder_|patch_embed\.proj",
        entries=_mae,
        keys={
            "dim": "cls_token",
            "positions": "decoder_pos_embed",
            "block": r"blocks\.(\d+)\.",
            "convolution": "patch_embed.proj.weight",
            "output_map": r"blocks\.\d+\.layers\.0\.0\.fn\.to_out",
        },
        unused=r"(pos_embed|decoder_embed\.(weight|bias))$",
        unused_are="tensors that the authors' model does not use either",
    ),
    Layout(
        title="CRATE-alpha of PyTorch",
        family="CRATEAlpha",
        recognised=r"conv1\.weight$|.*\.fn\.D1?$",
        entries=_alpha,
        keys={
            **_TORCH_KEYS,
            "convolution": "conv1.weight",
            "dictionary": "transformer.layers.0.1.fn.D",
        },
    ),
    Layout(
        title="CRATE of PyTorch",
        family="CRATE",
        recognised=r"to_patch_embedding\.|transformer\.layers\.",
        entries=_crate,
        keys={**_TORCH_KEYS, "pixels": "to_patch_embedding.1.weight"},
        unused=r"head\.(weight|bias)$",
        unused_are="a classifier that the authors' forward pass leaves aside",
    ),
)


class Recognised(NamedTuple):
    """A checkpoint whose layout is known and whose tensors are complete.

    Attributes:
        layout: Its layout.
        size: Its dimensions.
        tensors: Its tensors by the authors' names.
        is_backbone: Whether the authors' model leaves its own head aside.
    """

    layout: Layout
    size: Dimensions
    tensors: dict[str, Tensor]
    is_backbone: bool

    def variables(self) -> dict[str, Tensor]:
        """The tensors as variables of a model, by the variables' paths."""
        found = {}
        for entry in self.layout.entries(self.size):
            tensor = self.tensors[entry.name]
            read = _transforming(entry, tensor)
            found[entry.path] = Tensor(entry.variable_shape, tensor.dtype, read)
        for path, dimension in self.layout.zeros.items():
            if length := getattr(self.size, dimension):
                zeros = np.zeros(length, "float32")
                found[path] = Tensor(zeros.shape, "float32", lambda zeros=zeros: zeros)
        return found

    def unused(self) -> list[str]:
        """Names of the tensors that no variable is made of."""
        return sorted(self.tensors.keys() - {e.name for e in self.layout.entries(self.size)})

    def heads(self) -> int | None:
        """The number of heads: shown by a shape, or that of a published size; else None."""
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
    """Finds the layout of a checkpoint and checks that it is complete.

    Args:
        tensors: Tensors by the authors' names.
        origin: What to call the checkpoint in errors.

    Raises:
        ValueError: If its layout is not known, or tensors are missing, not
            known, or of a wrong shape.
    """
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
            f"{origin} looks like {layout.title}, but has neither {layout.keys['positions']} with "
            f"the width of tokens nor blocks.\nIt has: {_listed(shapes)}. Nothing was loaded."
        )
    if size.depth > len(tensors):
        raise ValueError(
            f"{origin} has a block numbered {size.depth - 1}, but only {len(tensors)} tensors: "
            "blocks are missing. Nothing was loaded."
        )
    entries = {entry.name: entry for entry in layout.entries(size)}
    unused = [name for name in shapes.keys() - entries.keys() if _is_unused(layout, name)]
    problems = {
        "Missing": [name for name in entries if name not in shapes],
        "Of another shape": [
            f"{name} {shapes[name]}, expected ({', '.join(str(n or '?') for n in entry.shape)})"
            for name, entry in entries.items()
            if shapes.get(name, entry.shape) != entry.shape
        ],
        "Not known": sorted(shapes.keys() - entries.keys() - set(unused)),
    }
    if any(problems.values()):
        lists = [f"{kind} ({len(n)}): {_listed(n)}." for kind, n in problems.items() if n]
        raise ValueError(
            f"{origin} is not a complete {layout.title} of width {size.dim} and {size.depth} "
            f"blocks.\n{' '.join(lists)}\nNothing was loaded."
        )
    return Recognised(layout, size, tensors, bool(unused) and layout.family == "CRATE")


def layout_of(names) -> Layout | None:
    """The layout that tensors of these names belong to, or None."""
    for layout in LAYOUTS:
        if any(re.match(layout.recognised, name) for name in names):
            return layout
    return None


def _is_unused(layout: Layout, name: str) -> bool:
    return bool(layout.unused and re.match(layout.unused, name))


def _transforming(entry: Entry, tensor: Tensor) -> Callable[[], np.ndarray]:
    return lambda: entry.to_variable(tensor.read())


def _listed(names) -> str:
    names = list(names)
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(names[:_SHOWN]) + more


def dimensions(layout: Layout, shapes: Mapping[str, tuple]) -> Dimensions | None:
    """A model's dimensions, as the shapes of a checkpoint show them.

    Args:
        layout: The checkpoint's layout.
        shapes: Shape of each tensor.

    Returns:
        The dimensions. A dimension is 0 where the tensor that shows it is missing
        or has another rank. None if no tensor shows the width and the depth.
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
        heads=(shape("heads", 3)[1] or 1) if "heads" in keys else None,
        output_map="output_map" not in keys
        or any(re.match(keys["output_map"], name) for name in shapes),
        ratio=shape("dictionary", 2)[1] // dim or 4,
    )


def dimensions_of_model(model) -> Dimensions:
    """The dimensions of one of our models."""
    s = model.settings
    shapes = {weight.path: tuple(weight.shape) for weight in model.weights}
    positions = shapes["token_embedding/positions"][1]
    pixels = shapes["patch_embedding/projection/kernel"][0]
    rows, columns = s.patch_size
    return Dimensions(
        dim=s.dim,
        depth=s.depth,
        pixels=pixels,
        positions=positions,
        classes=shapes.get("head/kernel", (None, None))[1],
        patch=(rows, columns, pixels // (rows * columns)),
        heads=s.heads,
        output_map="block_0_mssa/output_projection/kernel" in shapes,
        ratio=getattr(s, "ratio", 4),
    )
