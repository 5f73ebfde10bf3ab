"""The authors' models: their golden numbers, and their tensors in ours."""

import math
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def state_of(arrays: dict) -> dict:
    """The weights: PyTorch's under `state/`, or JAX's under `params/`."""
    return {k.partition("/")[2]: v for k, v in arrays.items() if "/" in k}


def images_of(arrays: dict) -> np.ndarray:
    """The images, channels last."""
    if "images_nhwc" in arrays:
        return arrays["images_nhwc"]
    return arrays["images_nchw"].transpose(0, 2, 3, 1)


def load_crate_state(model, state: dict) -> None:
    """Puts a CRATE state dict into a model. A PyTorch kernel is (out, in)."""

    def put(layer, *names):
        values = [state.pop(name) for name in names]
        values = [
            v.T if v.ndim == 2 and "fn.weight" not in n else v
            for n, v in zip(names, values, strict=True)
        ]
        model.get_layer(layer).set_weights(values)

    def pair(prefix):
        return f"{prefix}.weight", f"{prefix}.bias"

    state = dict(state)
    put("patch_embedding", *(name for i in (1, 2, 3) for name in pair(f"to_patch_embedding.{i}")))
    put("token_embedding", "cls_token", "pos_embedding")
    for i in range(model.settings.depth):
        mssa, ista = (f"transformer.layers.{i}.{k}" for k in (0, 1))
        put(f"block_{i}_norm_1", *pair(f"{mssa}.norm"))
        put(f"block_{i}_mssa", f"{mssa}.fn.qkv.weight", *pair(f"{mssa}.fn.to_out.0"))
        put(f"block_{i}_norm_2", *pair(f"{ista}.norm"))
        put(f"block_{i}_ista", f"{ista}.fn.weight")  # the dictionary itself, not transposed
    put("head_norm", *pair("mlp_head.0"))
    put("head", *pair("mlp_head.1"))
    assert not state, f"tensors left over: {sorted(state)}"


def load_alpha_state(model, state: dict) -> None:
    """Puts a CRATE-alpha state dict of PyTorch, or parameters of JAX, into a model."""
    state = dict(state)
    torch = "cls_token" in state

    def put(layer, *values):
        model.get_layer(layer).set_weights(values)

    def matrix(name):  # PyTorch's (out, in); a JAX projection has an axis of heads
        value = state.pop(name)
        return value.T if torch else value.reshape(dim, -1)

    def pair(*names):
        return [state.pop(name) for name in names]

    dim = model.settings.dim
    if torch:
        kernel = state.pop("conv1.weight").transpose(2, 3, 1, 0)
        put("patch_embedding", kernel.reshape(-1, dim), state.pop("conv1.bias"))
        put("token_embedding", *pair("cls_token", "pos_embedding"))
        put("head_norm", *pair("mlp_head.0.weight", "mlp_head.0.bias"))
        put("head", matrix("mlp_head.1.weight"), state.pop("mlp_head.1.bias"))
    else:
        kernel = state.pop("embedding/kernel").reshape(-1, dim)
        put("patch_embedding", kernel, state.pop("embedding/bias"))
        put("token_embedding", *pair("cls", "pos_embedding"))
        put("head_norm", *pair("encoder_norm/scale", "encoder_norm/bias"))
        put("head", *pair("head/kernel", "head/bias"))
    for i in range(model.settings.depth):
        if torch:
            attention, coding = (f"transformer.layers.{i}.{k}" for k in (0, 1))
            norms = [[f"{p}.norm.{w}" for w in ("weight", "bias")] for p in (attention, coding)]
            projection, out = f"{attention}.fn.qkv.weight", f"{attention}.fn.to_out.0.weight"
            dictionaries = f"{coding}.fn.D", f"{coding}.fn.D1"
        else:
            block = f"Transformer/encoderblock_{i}"
            norms = [[f"{block}/LayerNorm_{k}/{w}" for w in ("scale", "bias")] for k in (0, 1)]
            attention = f"{block}/MultiHeadDotProductSubspaceAttention_0"
            projection, out = f"{attention}/proj/kernel", f"{attention}/out/kernel"
            dictionaries = [f"{block}/OvercompleteISTABlock_0/{d}" for d in ("D", "D1")]
        put(f"block_{i}_norm_1", *pair(*norms[0]))
        out = matrix(out) if torch else state.pop(out).reshape(dim, dim)
        put(f"block_{i}_mssa", matrix(projection), out)
        put(f"block_{i}_norm_2", *pair(*norms[1]))
        d, d1 = pair(*dictionaries)
        put(f"block_{i}_overcomplete_ista", d, d1.T)
    assert not state, f"tensors left over: {sorted(state)}"


def load_cbt_state(model, state: dict) -> None:
    """Puts a CBT state dict into a model."""
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}

    def put(layer, *names):
        values = [state.pop(name) for name in names]
        model.get_layer(layer).set_weights(
            [v.T if v.ndim == 2 and not layer.endswith("_ista") else v for v in values]
        )

    def pair(prefix):
        return f"{prefix}.weight", f"{prefix}.bias"

    stem = model.get_layer("patch_embedding")
    for i in range(len(stem.widths)):
        theirs = f"to_patch_embedding.proj.{2 * i}"
        kernel = state.pop(f"{theirs}.0.weight").transpose(2, 3, 1, 0)
        getattr(stem, f"convolution_{i}").set_weights([kernel])
        names = (*pair(f"{theirs}.1"), f"{theirs}.1.running_mean", f"{theirs}.1.running_var")
        getattr(stem, f"norm_{i}").set_weights([state.pop(name) for name in names])
    put("token_embedding", "cls_token", "pos_embedding")
    for i in range(model.settings.depth):
        cbsa, ista = (f"transformer.layers.{i}.{k}" for k in (0, 1))
        put(f"block_{i}_norm_1", *pair(f"{cbsa}.norm"))
        names = ("step_x", "step_rep", "proj.weight", *pair("to_out"))
        put(f"block_{i}_cbsa", *(f"{cbsa}.fn.{name}" for name in names))
        put(f"block_{i}_norm_2", *pair(f"{ista}.norm"))
        put(f"block_{i}_ista", f"{ista}.fn.weight")
    put("head_norm", *pair("mlp_head.0"))
    put("head", *pair("mlp_head.1"))
    assert not state, f"tensors left over: {sorted(state)}"


def parameters_of(model) -> int:
    """Parameters as the authors count them: without running statistics."""
    statistics = [w for w in model.weights if "/moving_" in w.path]
    return model.count_params() - sum(math.prod(w.shape) for w in statistics)


def load_mae_state(model, state: dict) -> None:
    """Puts a CRATE-MAE state dict into a model."""
    state = dict(state)
    for unused in ("pos_embed", "decoder_embed.weight", "decoder_embed.bias"):
        del state[unused]

    def put(layer, *names):
        values = [state.pop(name) for name in names]
        model.get_layer(layer).set_weights(
            [
                # An encoder's dictionary is the matrix itself; a decoder's Dense has D^T.
                v.T if v.ndim == 2 and not layer.endswith("_ista") else v
                for v in values
            ]
        )

    def pair(prefix):
        return f"{prefix}.weight", f"{prefix}.bias"

    dim = model.settings.dim
    kernel = state.pop("patch_embed.proj.weight").transpose(2, 3, 1, 0).reshape(-1, dim)
    bias = state.pop("patch_embed.proj.bias")
    model.get_layer("patch_embedding").set_weights([kernel, bias])
    put("token_embedding", "cls_token", "decoder_pos_embed")
    put("patch_masking", "mask_token")
    for i in range(model.settings.depth):
        for side, attention, coding, linear in (
            ("", 0, 1, "ista"),
            ("decoder_", 1, 0, "dictionary"),
        ):
            prefix = f"{side}blocks.{i}.layers.0"
            order = {attention: f"{prefix}.{attention}", coding: f"{prefix}.{coding}"}
            put(f"{side}block_{i}_norm_1", *pair(f"{order[0]}.norm"))
            put(f"{side}block_{i}_norm_2", *pair(f"{order[1]}.norm"))
            fn = f"{order[attention]}.fn"
            put(f"{side}block_{i}_mssa", f"{fn}.qkv.weight", *pair(f"{fn}.to_out.0"))
            put(f"{side}block_{i}_{linear}", f"{order[coding]}.fn.weight")
    put("encoder_norm", *pair("norm"))
    put("decoder_norm", *pair("decoder_norm"))
    put("decoder_prediction", *pair("decoder_pred"))
    assert not state, f"tensors left over: {sorted(state)}"
