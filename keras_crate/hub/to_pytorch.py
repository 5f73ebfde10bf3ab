"""Makes checkpoints of the authors' PyTorch code from models."""

import inspect
import os
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.extras import needed
from keras_crate.files import written_whole
from keras_crate.keras_internals import parts_of
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.layout import Layout, dimensions_of_model
from keras_crate.weights.layouts import LAYOUTS

_TITLES = ("CRATE of PyTorch", "CRATE-alpha of PyTorch", "CRATE-MAE of PyTorch", "CBT of PyTorch")
# Settings that no tensor shows.
_NOT_IN_TENSORS = (
    "step_size", "penalty", "epsilon", "residual", "decoupled", "mean", "std", "pooling",
    "include_preprocessing", "representatives",
)  # fmt: skip


@names_arguments
def to_pytorch(model: WhiteBoxModel, path: str | os.PathLike | None = None) -> dict:
    """Returns a model's weights with the names and shapes of the authors' PyTorch code.

    `from_checkpoint` makes a model with exactly these weights from the result.
    A warning names settings that the tensors do not hold and that differ from
    the authors', such as another `penalty`. Pass them to `from_checkpoint`.

    Args:
        model: A `CRATE`, `CRATEAlpha`, `CRATEMAE` or `CBT` with the authors'
            operators, not quantised or fused. Adapters of LoRA are merged. The
            authors' CRATE-MAE holds tensors that it does not use (`pos_embed`,
            `decoder_embed`). They are not written: load the file there with
            `strict=False`.
        path: File to write: `.safetensors`, or `.pth` or `.pt`, which need
            PyTorch. None for no file.

    Returns:
        A dictionary of NumPy arrays in float32, by the authors' names. Counters
        of batches in a CBT's batch normalisation are 0, in int64.

    Raises:
        ValueError: If the authors' code has no such model, or the path has
            another ending.
        ImportError: If a file of PyTorch is asked for and PyTorch is not installed.

    Example:

    ```python
    model = keras_crate.CRATETiny(input_shape=(32, 32, 3), patch_size=8, classes=10)
    tensors = keras_crate.hub.to_pytorch(model, "crate_tiny.safetensors")
    print(tensors["mlp_head.1.weight"].shape)  # (10, 384)
    ```
    """
    layout = _layout_of_model(model)
    if model.settings.fused:
        raise ValueError(
            "`model` must not be fused: the authors' weights cannot be computed from fused ones. "
            f"Received: {model.name!r}. Pass the original model."
        )
    weights = _merged_weights(model)
    entries = layout.entries(dimensions_of_model(model))
    foreign = sorted(weights.keys() ^ {entry.path for entry in entries})
    if foreign:
        raise ValueError(
            "The authors' code has no such model. Weights that only one of them has: "
            f"{', '.join(foreign[:5])}. Save the model with `model.save` instead."
        )
    tensors = {
        entry.name: entry.to_tensor(np.asarray(weights[entry.path], "float32")) for entry in entries
    }
    for name in list(tensors):  # which PyTorch has beside the running statistics
        if name.endswith(".running_mean"):
            counter = name.replace("running_mean", "num_batches_tracked")
            tensors[counter] = np.zeros((), "int64")
    if path is not None:
        write_tensors(tensors, Path(path))
    settings = settings_not_in_tensors(model)
    if settings:
        words = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        warnings.warn(
            f"The tensors do not hold {words}, and the authors' code has other values. Pass these "
            "to `from_checkpoint` to make the same model.",
            stacklevel=3,
        )
    return tensors


def settings_not_in_tensors(model: WhiteBoxModel) -> dict:
    """Returns settings that the tensors do not hold and that are not the defaults."""
    defaults = {k: p.default for k, p in inspect.signature(type(model)).parameters.items()}
    defaults["epsilon"] = 1e-5
    found = {}
    for name in _NOT_IN_TENSORS:
        value = getattr(model.settings, name, None)
        if value is not None and value != defaults.get(name):
            found[name] = value
    for name in ("compress", "sparsify"):  # a user's operator may have settings too
        operator = getattr(model.settings, name, None)
        if isinstance(operator, keras.layers.Layer):
            found[name] = operator
    return found


def _layout_of_model(model) -> Layout:
    for layout in LAYOUTS:
        if layout.title in _TITLES and layout.family == type(model).__name__:
            return layout
    is_encoder = type(model).__name__ == "CRATEMAEEncoder"
    advice = "Pass the CRATEMAE itself." if is_encoder else "Save it with `model.save`."
    raise ValueError(
        "`to_pytorch` takes a CRATE, CRATEAlpha, CRATEMAE or CBT. Received: a "
        f"{type(model).__name__}. {advice}"
    )


def _merged_weights(model) -> dict[str, np.ndarray]:
    """Returns the model's weights by path, with adapters merged."""
    merged, adapters = {}, set()
    for layer in parts_of(model):
        if getattr(layer, "quantization_mode", None):
            raise ValueError(
                f"The layer {layer.path} is quantised ({layer.quantization_mode}): its integers "
                "are not the authors' weights. Convert the model before `quantize`."
            )
        if getattr(layer, "lora_enabled", False):
            kernel = next(w.path for w in layer.weights if w.path.endswith("/kernel"))
            merged[kernel] = keras.ops.convert_to_numpy(layer.kernel)
            adapters |= {w.path for w in layer.weights if "lora_kernel" in w.path}
    for weight in model.weights:
        if weight.path not in adapters and weight.path not in merged and "seed" not in weight.path:
            merged[weight.path] = keras.ops.convert_to_numpy(weight)
    return merged


def write_tensors(tensors: dict[str, np.ndarray], path: Path) -> None:
    """Writes what `to_pytorch` returns to a file, whole or not at all; `path` is as there."""
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise ValueError(
            f"`path` must end in .safetensors, .pth or .pt. Received: path={str(path)!r}"
        )
    size = sum(tensor.nbytes for tensor in tensors.values())
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        with written_whole(path, size=size) as unfinished:
            save_file(tensors, unfinished, metadata={"format": "pt"})
        return
    with needed("torch", "Writing a file of PyTorch needs"):
        import torch
    # Given a path, PyTorch does not say why it could not write.
    with written_whole(path, size=size) as unfinished, unfinished.open("wb") as file:
        torch.save({name: torch.from_numpy(a) for name, a in tensors.items()}, file)
