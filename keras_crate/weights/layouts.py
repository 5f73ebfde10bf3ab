"""How the authors' checkpoints name, shape and turn the tensors of a model.

A layout is the list of a model's weights beside the authors' tensors. It is
read in both directions: a checkpoint becomes a model, a model a checkpoint.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Entry(NamedTuple):
    """One tensor of a checkpoint.

    Attributes:
        name: The authors' name.
        shape: The authors' shape.
        path: Path of the weight in our model.
        form: What makes ours of theirs: `"same"` (values in the same order,
            whatever the axes), `"transposed"`, or `"convolution"`.
    """

    name: str
    shape: tuple[int, ...]
    path: str
    form: str = "same"

    def ours(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The authors' values as our weight of `shape`."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":  # (d, channels, rows, columns)
            values = values.transpose(2, 3, 1, 0)
        return values.reshape(shape)

    def theirs(self, values: np.ndarray) -> np.ndarray:
        """Our weight as the authors' tensor."""
        if self.form == "transposed":
            values = values.T
        elif self.form == "convolution":
            dim, channels, rows, columns = self.shape
            values = values.reshape(rows, columns, channels, dim).transpose(3, 2, 0, 1)
        return np.ascontiguousarray(values.reshape(self.shape))


@dataclasses.dataclass(frozen=True)
class Dimensions:
    """What shapes tell of a model.

    Attributes:
        dim: Token width.
        depth: Blocks.
        pixels: Numbers in a patch.
        positions: Rows of the table of positions.
        classes: Outputs of the head, or None without one.
        patch: `(rows, columns, channels)` of a patch, or None where a
            flattened patch does not tell.
        heads: Where shapes tell.
        output_map: Whether MSSA has one.
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
        recognised: Regular expression that a name of its tensors, and of no
            layout's after it, matches.
        entries: Its tensors, for a model's dimensions.
        keys: Names of the tensors that tell the dimensions, see `dimensions`;
            of blocks and the output map, regular expressions.
        settings: Arguments of the model's constructor that it implies.
        unused: Regular expression of tensors that its model does not use.
        unused_are: What those are.
        token_rank: Rank of its class token and of its table of positions.
        prepare: Makes tensors of other shapes ready to be read.
    """

    title: str
    family: str
    recognised: str
    entries: Callable[[Dimensions], list[Entry]]
    keys: Mapping[str, str]
    settings: Mapping = dataclasses.field(default_factory=dict)
    unused: str | None = None
    unused_are: str = ""
    prepare: Callable[[dict], dict] | None = None
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
        Entry("embedding/kernel", kernel, "patch_embedding/projection/kernel"),
        Entry("embedding/bias", (s.dim,), "patch_embedding/projection/bias"),
        *_tokens(s, "cls", "pos_embedding"),
    ]
    split = (s.heads, s.dim // s.heads)
    for i in range(s.depth):
        ours, theirs = f"block_{i}", f"Transformer/encoderblock_{i}"
        mssa = f"{theirs}/MultiHeadDotProductSubspaceAttention_0"
        ista = f"{theirs}/OvercompleteISTABlock_0"
        entries += norm(f"{ours}_norm_1", f"{theirs}/LayerNorm_0")
        entries += [
            Entry(f"{mssa}/proj/kernel", (s.dim, *split), f"{ours}_mssa/subspaces/kernel"),
            Entry(f"{mssa}/out/kernel", (*split, s.dim), f"{ours}_mssa/output_projection/kernel"),
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
        Entry("visual.class_embedding", (s.dim,), "token_embedding/class_token"),
        Entry("visual.positional_embedding", (s.positions, s.dim), "token_embedding/positions"),
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


def _one_projection(tensors: dict) -> dict:
    """Query, key and value of CLIPA's attention are one in a white box: keeps one of them."""
    tensors = dict(tensors)
    for name, values in tensors.items():
        fused = re.fullmatch(r"visual\..*\.in_proj_weight", name) and values.ndim == 2
        if fused and len(values) == 3 * values.shape[1]:
            query, key, value = np.split(values, 3)
            if not (np.array_equal(query, key) and np.array_equal(query, value)):
                raise ValueError(
                    f"{name} has different projections for query, key and value: this is no "
                    "CRATE-alpha, whose attention has one."
                )
            tensors[name] = query
    return tensors


_TORCH_KEYS = {
    "dim": "cls_token",
    "positions": "pos_embedding",
    "block": r"transformer\.layers\.(\d+)\.",
    "output_map": r"transformer\.layers\.\d+\.0\.fn\.to_out",
    "head": "mlp_head.1.weight",
}

_JAX_MSSA = "Transformer/encoderblock_0/MultiHeadDotProductSubspaceAttention_0"

# Each is looked for after those before it.
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


def layout_of(names) -> Layout | None:
    """The layout that tensors of these names belong to, or None."""
    for layout in LAYOUTS:
        if any(re.match(layout.recognised, name) for name in names):
            return layout
    return None


def dimensions(layout: Layout, shapes: Mapping[str, tuple]) -> Dimensions | None:
    """A model's dimensions, read off its tensors.

    Args:
        layout: What the names belong to.
        shapes: Shape of each tensor.

    Returns:
        The dimensions, 0 where the tensor that tells one is missing or of
        another rank; None if not even width and depth are told.
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
