"""The authors' checkpoints as Keras models, and back."""

import dataclasses
import inspect
import math
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_crate.extras import needed
from keras_crate.keras_internals import parts_of
from keras_crate.models import CRATE, CRATEMAE, CRATEAlpha, checks
from keras_crate.models.sizes import SIZES, constructor_of, snake_case
from keras_crate.models.white_box import HEAD_LAYERS, WhiteBoxModel
from keras_crate.weights.layouts import (
    LAYOUTS,
    Dimensions,
    Layout,
    dimensions,
    dimensions_of_model,
    layout_of,
)
from keras_crate.weights.tensor_files import read_tensors

_BESIDE_TENSORS = (
    "step_size", "penalty", "epsilon", "residual", "decoupled", "mean", "std", "pooling",
    "include_preprocessing",
)  # fmt: skip
_FAMILIES = {"CRATE": CRATE, "CRATEAlpha": CRATEAlpha, "CRATEMAE": CRATEMAE}
# The checkpoints of segmentation have other heads than their size, and this classifier.
_SEGMENTATION = (768, 12, 8 * 8 * 3)
_SEGMENTATION_CLASSES, _SEGMENTATION_HEADS = 21_842, 6


def from_checkpoint(
    path_or_tensors: str | os.PathLike | Mapping, **constructor_arguments
) -> WhiteBoxModel:
    """Makes a model of a checkpoint of the authors' code.

    Reads CRATE, CRATE-alpha, CRATE-MAE and the image tower of
    CRATE-alpha-CLIPA, as files of PyTorch (`.pth`, `.pt`, `.pth.tar`, no
    extension), `.safetensors`, or as JAX parameters (`.npz`). No code from a
    file is run. Architecture and size are read off the tensors' shapes, but
    for the heads of PyTorch's files: published sizes have known ones.

    Args:
        path_or_tensors: The file, or a dictionary of tensors as it holds.
        **constructor_arguments: Arguments of the model's constructor, in place
            of its defaults: such as `classifier_activation=None`, or `heads=`
            where shapes cannot tell. With other `classes` or
            `include_top=False` all but the head is loaded, with another
            `input_shape` the positions are resized. Of what shapes do not
            tell, such as the `penalty` of a CRATEMAE, the constructor's
            default is taken.

    Returns:
        A `CRATE`, `CRATEAlpha` or `CRATEMAE`, not compiled. What of the file
        it does not use is named in a warning.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, would need code to be run, is of no known
            layout, or tensors are missing, too many or of wrong shape, all of
            which are named; or if heads or patch cannot be told and are not
            given.
        ImportError: If it is a file of PyTorch and PyTorch is not installed.

    Example:

    ```python
    model = keras_crate.hub.from_checkpoint("checkpoint.safetensors", heads=2)
    ```
    """
    origin = "the dictionary" if isinstance(path_or_tensors, Mapping) else str(path_or_tensors)
    return convert(read_tensors(path_or_tensors), origin, constructor_arguments)


def convert(tensors: dict, origin: str, constructor_arguments: dict) -> WhiteBoxModel:
    """As `from_checkpoint`, of tensors that were read.

    Args:
        tensors: Arrays by the authors' names.
        origin: What to call them in errors and warnings.
        constructor_arguments: Of the model.
    """
    layout = layout_of(tensors)
    if layout is None:
        raise ValueError(
            f"The tensors of {origin} are of no known layout ("
            + ", ".join(one.title for one in LAYOUTS)
            + f"). It has {len(tensors)}, such as: {', '.join(sorted(tensors)[:5])}"
        )
    if layout.prepare is not None:
        tensors = layout.prepare(tensors)
    size, backbone = _checked_size(tensors, layout, origin)
    checks.check_not_fused(constructor_arguments.get("fused", False), origin)
    own = _arguments(size, layout, tensors, constructor_arguments, origin)
    arguments = {"name": _name(layout, size), **layout.settings, **constructor_arguments}
    with_head = size.classes is not None
    if layout.family != "CRATEMAE":
        arguments.setdefault("include_top", with_head and not backbone)
        arguments.setdefault("classes", size.classes or 1000)
        with_head = arguments["include_top"] and arguments["classes"] == size.classes
    shape = arguments.get("input_shape")
    model = _FAMILIES[layout.family](**{**arguments, **own})
    loaded = size if with_head else dataclasses.replace(size, classes=None)
    left_out = _assign(model, layout, loaded, tensors)
    asked = "include_top" in constructor_arguments
    _say_left_out(layout, left_out, origin, model, asked)
    if shape is not None and tuple(shape) != tuple(model.settings.input_shape):
        return model.with_input_shape(shape)
    return model


def to_pytorch(model: WhiteBoxModel, path: str | os.PathLike | None = None) -> dict:
    """A model's weights as the authors' PyTorch code names, shapes and turns them.

    What `from_checkpoint` makes of the result has the same weights, bit by
    bit. Settings that tensors do not hold, such as another `penalty` than the
    authors', are named in a warning: pass them to `from_checkpoint`.

    Args:
        model: A `CRATE`, `CRATEAlpha` or `CRATEMAE` with the authors'
            operators, not quantised or fused. Adapters of LoRA are merged. Of a
            CRATE-MAE, the tensors that the authors' model holds and does not
            use (`pos_embed`, `decoder_embed`) are not written: load it there
            with `strict=False`.
        path: File to write: `.safetensors`, or `.pth` or `.pt`, which needs
            PyTorch. None for no file.

    Returns:
        NumPy arrays in float32 by the authors' names.

    Raises:
        ValueError: If the authors' code has no such model, or the path ends
            otherwise.
        ImportError: If a file of PyTorch is asked for and it is not installed.

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
            "`model` must not be fused: the authors' maps cannot be told from the fused ones. "
            f"Received: {model.name!r}. Pass the model that it was made of."
        )
    size = dimensions_of_model(model)
    weights = _merged_weights(model)
    entries = layout.entries(size)
    foreign = sorted(weights.keys() ^ {entry.path for entry in entries})
    if foreign:
        raise ValueError(
            "The authors' code has no such model; weights that one of the two has and the other "
            f"has not: {', '.join(foreign)}. Save the model with `model.save` instead."
        )
    tensors = {
        entry.name: entry.theirs(np.asarray(weights[entry.path], "float32")) for entry in entries
    }
    if path is not None:
        _write(tensors, Path(path))
    settings = settings_beside(model)
    if settings:
        words = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        warnings.warn(
            f"The tensors do not hold {words}. To make the same model of them, pass this to "
            "`from_checkpoint`; the authors' code has other values.",
            stacklevel=2,
        )
    return tensors


def settings_beside(model: WhiteBoxModel) -> dict:
    """A model's settings that its tensors do not tell and `from_checkpoint` would not take."""
    defaults = inspect.signature(type(model)).parameters
    own = {**{k: v.default for k, v in defaults.items()}, **getattr(type(model), "unset", {})}
    found = {}
    for name in _BESIDE_TENSORS:
        value = getattr(model.settings, name, None)
        if value is not None and value != own.get(name):
            found[name] = value
    for name in ("compress", "sparsify"):  # an operator of the user's may have settings too
        operator = getattr(model.settings, name, None)
        if isinstance(operator, keras.layers.Layer):
            found[name] = operator
    return found


def _checked_size(tensors, layout: Layout, origin: str) -> tuple[Dimensions, bool]:
    """The dimensions, and whether the file is a backbone; refuses what is not whole."""
    shapes = {name: tuple(values.shape) for name, values in tensors.items()}
    size = dimensions(layout, shapes)
    problems = {"missing": [], "wrong": [], "extra": []}
    if size is None:
        raise ValueError(
            f"{origin} looks like {layout.title}, but has neither {layout.keys['positions']} with "
            f"the width of tokens nor blocks. It has: {'; '.join(sorted(shapes))}. Nothing was "
            "loaded."
        )
    entries = layout.entries(size)
    for entry in entries:
        if entry.name not in shapes:
            problems["missing"].append(entry.name)
        elif shapes[entry.name] != entry.shape:
            problems["wrong"].append(
                f"{entry.name} {shapes[entry.name]}, expected {_shown(entry.shape)}"
            )
    known = {entry.name for entry in entries}
    backbone = False
    for name in shapes:
        if name not in known:
            if layout.unused and re.match(layout.unused, name):
                backbone = backbone or layout.family == "CRATE"
            else:
                problems["extra"].append(name)
    if any(problems.values()):
        titles = {"missing": "Missing", "wrong": "Of another shape", "extra": "Not known"}
        lists = [
            f"{titles[kind]} ({len(names)}): {'; '.join(names)}."
            for kind, names in problems.items()
            if names
        ]
        raise ValueError(
            f"{origin} is not a whole {layout.title}, width {size.dim}, {size.depth} blocks. "
            f"{' '.join(lists)} Nothing was loaded."
        )
    return size, backbone


def _shown(shape: tuple) -> str:
    """A shape in words; 0 stands for what the tensors that are there do not tell."""
    return f"({', '.join(str(n or '?') for n in shape)})"


def _arguments(size: Dimensions, layout: Layout, tensors, given: dict, origin: str) -> dict:
    """The constructor's arguments that the tensors decide."""
    own = {"dim": size.dim, "depth": size.depth}
    own["heads"] = _heads(size, layout, tensors, given, origin)
    rows, columns, channels = _patch(size, given, origin)
    own["patch_size"] = (rows, columns)
    grid = _grid(size.positions - 1, (rows, columns), given, origin)
    own["input_shape"] = (grid[0] * rows, grid[1] * columns, channels)
    if _channels_first(given):
        own["input_shape"] = (channels, *own["input_shape"][:2])
    if layout.family == "CRATEAlpha":
        own["ratio"] = size.ratio
    for name in ("dim", "depth", "heads", "patch_size", "ratio"):
        if name in given and name in own:
            same = np.array_equal(np.broadcast_to(given[name], np.shape(own[name])), own[name])
            if not same:
                raise ValueError(
                    f"`{name}` is the checkpoint's. Received: {name}={given[name]!r}, and {origin} "
                    f"has {own[name]!r}"
                )
    return own


def _heads(size: Dimensions, layout: Layout, tensors, given: dict, origin: str) -> int:
    if size.heads is not None:  # told by the shape of JAX's projection
        return _with_output_map(size.heads, origin) if size.output_map else size.heads
    if not size.output_map:
        return 1
    known = _known_heads(size, layout, tensors)
    if "heads" in given:
        heads = _with_output_map(given["heads"], origin)
        if known not in (None, heads):
            warnings.warn(
                f"The authors' models of the size in {origin} have {known} heads. Received: "
                f"heads={heads!r}, with which their weights would be wrong.",
                stacklevel=5,
            )
        return heads
    if known is not None:
        return known
    raise ValueError(
        f"The shapes in {origin} do not tell the number of heads: width {size.dim}, "
        f"{size.depth} blocks, patches of {size.pixels} numbers. Pass `heads=` (`--heads` in the "
        "shell); other heads than the model was trained with would load, and be wrong."
    )


def _known_heads(size: Dimensions, layout: Layout, tensors) -> int | None:
    """Of published sizes; of the one that was published with two, only what tells them apart."""
    if layout.family == "CRATE" and (size.dim, size.depth, size.pixels) == _SEGMENTATION:
        classifier = tensors.get("head.weight")
        told = classifier is not None and len(classifier) == _SEGMENTATION_CLASSES
        return _SEGMENTATION_HEADS if told else None
    constructor = constructor_of(layout.family, size.dim, size.depth)
    return None if constructor is None else SIZES[constructor].heads


def _with_output_map(heads: int, origin: str) -> int:
    if heads == 1:
        raise ValueError(
            f"{origin} has an output map in its attention, which a model with one head has not. "
            "Received: heads=1"
        )
    return heads


def _patch(size: Dimensions, given: dict, origin: str) -> tuple[int, int, int]:
    if size.patch is not None:
        return size.patch
    channels = 3
    if "input_shape" in given:
        channels = given["input_shape"][0 if _channels_first(given) else -1]
    if "patch_size" in given:
        rows, columns = (int(n) for n in np.broadcast_to(given["patch_size"], 2))
    else:
        rows = columns = math.isqrt(size.pixels // channels)
    if rows * columns * channels != size.pixels:
        raise ValueError(
            f"The patches of {origin} have {size.pixels} numbers, and {rows} x {columns} pixels "
            f"of {channels} channels do not. Pass `patch_size=(rows, columns)`, and "
            "`input_shape=` where images do not have 3 channels."
        )
    return rows, columns, channels


def _grid(patches: int, patch: tuple[int, int], given: dict, origin: str) -> tuple[int, int]:
    """Rows and columns of the checkpoint's table of positions."""
    if "input_shape" in given:
        shape = given["input_shape"]
        height, width = shape[1:] if _channels_first(given) else shape[:2]
        grid = (height // patch[0], width // patch[1])
        if grid[0] * grid[1] == patches:
            return grid
    side = math.isqrt(patches)
    if side * side == patches:
        return side, side
    raise ValueError(
        f"The positions of {origin} are for {patches} patches, which are no square. Pass the "
        "`input_shape=` that it was trained on."
    )


def _channels_first(given: dict) -> bool:
    return (given.get("data_format") or keras.config.image_data_format()) == "channels_first"


def _name(layout: Layout, size: Dimensions) -> str:
    return snake_case(constructor_of(layout.family, size.dim, size.depth) or layout.family)


def _assign(model, layout: Layout, size: Dimensions, tensors) -> list[str]:
    """Puts the tensors into the model; those that are left over."""
    weights = {weight.path: weight for weight in model.weights}
    left = dict(tensors)
    for entry in layout.entries(size):
        weight = weights.pop(entry.path)
        weight.assign(entry.ours(left.pop(entry.name), tuple(weight.shape)))
    for path, weight in weights.items():
        new_head = size.classes is None and path.split("/")[0] in HEAD_LAYERS
        if path.endswith("/bias") and not new_head:  # the authors' layer has none
            weight.assign(np.zeros(weight.shape))
    return sorted(left)


def _say_left_out(layout: Layout, left_out: list[str], origin: str, model, asked: bool) -> None:
    said = []
    if left_out:
        groups = sorted({name.split(".")[0] + ".*" * ("." in name) for name in left_out})
        said.append(
            f"Of {origin}, {len(left_out)} tensors were left out: {', '.join(groups)}" + "."
        )
    unused = [name for name in left_out if layout.unused and re.match(layout.unused, name)]
    if unused:
        groups = sorted({name.split(".")[0] + ".*" * ("." in name) for name in unused})
        said.append(f"{', '.join(groups)}: {layout.unused_are}.")
    without_top = not getattr(model.settings, "include_top", True)
    if without_top and not asked and any(name.startswith("mlp_head") for name in left_out):
        said.append("Pass `include_top=True` for the head `mlp_head`.")
    elif left_out and layout.family != "CRATEMAE" and model.settings.include_top:
        head = layout.keys.get("head") or layout.keys.get("projection")
        if head in left_out:
            said.append(
                f"The head for {model.settings.classes} classes keeps its initial values and must "
                "be trained."
            )
    if said:
        warnings.warn(" ".join(said), stacklevel=3)


def _layout_of_model(model) -> Layout:
    families = {"CRATE of PyTorch", "CRATE-alpha of PyTorch", "CRATE-MAE of PyTorch"}
    for layout in LAYOUTS:
        if layout.title in families and type(model) is _FAMILIES[layout.family]:
            return layout
    raise ValueError(
        "`to_pytorch` takes a CRATE, CRATEAlpha or CRATEMAE. Received: a "
        f"{type(model).__name__}. "
        + (
            "Pass the CRATEMAE itself."
            if "MAE" in type(model).__name__
            else "Save other models with `model.save`."
        )
    )


def _merged_weights(model) -> dict[str, np.ndarray]:
    """The model's weights by path, adapters merged."""
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


def _write(tensors: dict, path: Path) -> None:
    if path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file(tensors, path, metadata={"format": "pt"})
    elif path.suffix in (".pth", ".pt"):
        with needed("torch", "Writing a file of PyTorch needs"):
            import torch
        torch.save({name: torch.from_numpy(values) for name, values in tensors.items()}, path)
    else:
        raise ValueError(
            f"`path` must end in .safetensors, .pth or .pt. Received: path={str(path)!r}"
        )
