"""The layouts of the authors' checkpoints."""

import functools
import re
from collections.abc import Callable

import numpy as np

from keras_crate.weights.layout import Dimensions, Entry, Layout
from keras_crate.weights.tensor_files import Tensor


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


def _blocks(s: Dimensions, compress: Callable, sparsify: Callable) -> list[Entry]:
    """All blocks of PyTorch, from functions for the entries of the two operators."""
    entries = []
    for i in range(s.depth):
        for k, operator in enumerate((compress, sparsify)):
            ours, theirs = f"block_{i}", f"transformer.layers.{i}.{k}"
            entries += _pair(f"{ours}_norm_{k + 1}", f"{theirs}.norm", s.dim)
            entries += operator(ours, f"{theirs}.fn", s)
    return entries


def _mssa(ours: str, theirs: str, s: Dimensions, bias: bool = True) -> list[Entry]:
    ours = f"{ours}_mssa"
    entries = _linear(f"{ours}/subspaces", f"{theirs}.qkv", s.dim, s.dim, bias=False)
    if s.output_map:
        entries += _linear(f"{ours}/output_projection", f"{theirs}.to_out.0", s.dim, s.dim, bias)
    return entries


def _ista(ours: str, theirs: str, s: Dimensions) -> list[Entry]:
    # The dictionary itself: x D^T is what PyTorch's linear map makes of it.
    return [Entry(f"{theirs}.weight", (s.dim, s.dim), f"{ours}_ista/dictionary/kernel")]


def _cbsa(ours: str, theirs: str, s: Dimensions) -> list[Entry]:
    ours, steps = f"{ours}_cbsa", ("step_x", "step_rep")
    return [
        *(Entry(f"{theirs}.{step}", (s.heads, 1, 1), f"{ours}/{step}") for step in steps),
        *_linear(f"{ours}/subspaces", f"{theirs}.proj", s.dim, s.dim, bias=False),
        *_linear(f"{ours}/output_projection", f"{theirs}.to_out", s.dim, s.dim),
    ]


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
    return entries + _blocks(s, _mssa, _ista) + _head(s)


def _batch_norm(ours: str, theirs: str, size: int) -> list[Entry]:
    statistics = (("running_mean", "moving_mean"), ("running_var", "moving_variance"))
    entries = [Entry(f"{theirs}.{name}", (size,), f"{ours}/{path}") for name, path in statistics]
    return _pair(ours, theirs, size) + entries


def _stem(s: Dimensions) -> list[Entry]:
    entries = []
    # The authors' patches are squares. If one is not, its longer side has more convolutions.
    count = max(1, min(s.patch[:2]).bit_length() - 1)
    inputs = s.patch[2]
    for i in range(count):
        ours, theirs = "patch_embedding", f"to_patch_embedding.proj.{2 * i}"
        outputs = s.dim // 2 ** (count - 1 - i)
        shape, reshaped = (outputs, inputs, 3, 3), (3, 3, inputs, outputs)
        kernel = f"{ours}/convolution_{i}/kernel"
        entries.append(Entry(f"{theirs}.0.weight", shape, kernel, "convolution", reshaped))
        entries += _batch_norm(f"{ours}/norm_{i}", f"{theirs}.1", outputs)
        inputs = outputs
    return entries


def _cbt(s: Dimensions) -> list[Entry]:
    entries = _stem(s) + _tokens(s, "cls_token", "pos_embedding")
    return entries + _blocks(s, _cbsa, _ista) + _head(s)


def _without_counters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leaves out the batches that PyTorch's batch normalisation counts: no output needs them."""
    return {k: tensor for k, tensor in tensors.items() if not k.endswith(".num_batches_tracked")}


def _dictionaries(
    ours: str, theirs: str, s: Dimensions, names: tuple[str, str] = (".D", ".D1")
) -> list[Entry]:
    shape, ours = (s.dim, s.ratio * s.dim), f"{ours}_overcomplete_ista"
    return [
        Entry(theirs + names[0], shape, f"{ours}/dictionary/kernel"),
        Entry(theirs + names[1], shape, f"{ours}/output_dictionary/kernel", "transposed"),
    ]


def _alpha(s: Dimensions) -> list[Entry]:
    entries = _convolution("conv1", s) + _tokens(s, "cls_token", "pos_embedding")
    mssa = functools.partial(_mssa, bias=False)
    return entries + _blocks(s, mssa, _dictionaries) + _head(s)


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
        entries += _dictionaries(ours, ista, s, ("/D", "/D1"))
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
        entries += _mssa(ours, f"{theirs}.0.fn", s)
        entries += _pair(f"{ours}_norm_2", f"{theirs}.1.norm", s.dim)
        entries += _ista(ours, f"{theirs}.1.fn", s)
        ours, theirs = f"decoder_{ours}", f"decoder_{theirs}"
        entries += _pair(f"{ours}_norm_1", f"{theirs}.0.norm", s.dim)
        entries += _linear(f"{ours}_dictionary", f"{theirs}.0.fn", s.dim, s.dim, bias=False)
        entries += _pair(f"{ours}_norm_2", f"{theirs}.1.norm", s.dim)
        entries += _mssa(ours, f"{theirs}.1.fn", s)
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
        entries += _dictionaries(ours, f"{theirs}.mlp", s, (".c_fc", ".c_proj"))
    if s.classes is not None:
        entries += _pair("head_norm", "visual.ln_post", s.dim)
        entries.append(Entry("visual.proj", (s.dim, s.classes), "head/kernel"))
    return entries


def _one_projection(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keeps one of CLIPA's stacked projections: query, key and value are the same in CRATE."""

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
        title="CBT of PyTorch",
        family="CBT",
        recognised=r"to_patch_embedding\.proj\.|.*\.fn\.step_(x|rep)$",
        entries=_cbt,
        keys={
            **_TORCH_KEYS,
            "stem": r"to_patch_embedding\.proj\.\d+\.0\.weight",
            "steps": "transformer.layers.0.0.fn.step_x",
        },
        prepare=_without_counters,
    ),
    Layout(
        title="CRATE of PyTorch",
        family="CRATE",
        recognised=r"to_patch_embedding\.|transformer\.layers\.",
        entries=_crate,
        keys={**_TORCH_KEYS, "pixels": "to_patch_embedding.1.weight"},
        unused=r"head\.(weight|bias)$",
        unused_are="a classifier that the authors' forward pass does not use",
    ),
)
