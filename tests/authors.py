"""The authors' models: their golden numbers, and their tensors in ours."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def state_of(arrays: dict) -> dict:
    return {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}


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
