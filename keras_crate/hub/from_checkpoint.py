"""Makes Keras models from the authors' checkpoints."""

import math
import os
import warnings
from collections.abc import Mapping

import keras
import numpy as np

from keras_crate import models
from keras_crate.checks import names_arguments
from keras_crate.models.settings import Form, built_as
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.assign import assign, warn_of_heads
from keras_crate.weights.recognise import Recognised, recognise
from keras_crate.weights.sizes import constructor_of, snake_case
from keras_crate.weights.tensor_files import open_tensors


@names_arguments(options=[models.CRATE, models.CRATEAlpha, models.CRATEMAE])
def from_checkpoint(
    path_or_tensors: str | os.PathLike | Mapping, **constructor_arguments
) -> WhiteBoxModel:
    """Makes a model from a checkpoint of the authors' code.

    Reads CRATE, CRATE-alpha, CRATE-MAE, CBT and the image tower of
    CRATE-alpha-CLIPA, from files of PyTorch (`.pth`, `.pt`, `.pth.tar`, no
    extension), `.safetensors`, or JAX parameters (`.npz`). No code from a file
    is run. The shapes of the tensors show the architecture and the size. In
    files of PyTorch they do not show the number of heads, except for CBT; it is
    known for the published sizes only.

    Args:
        path_or_tensors: The file, or a dictionary of tensors.
        **constructor_arguments: Arguments of the model's constructor, such as
            `classifier_activation=None`, or `heads=` if the shapes do not show
            it. With other `classes` or `include_top=False`, all but the head
            is loaded. With another `input_shape`, the positions are resized.
            Settings that the shapes do not show, such as the `penalty` of a
            CRATEMAE, have their defaults.

    Returns:
        A `CRATE`, `CRATEAlpha`, `CRATEMAE` or `CBT`, not compiled. A warning names
        tensors that the model does not use.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, would need code to be run, has no
            known layout, or has missing, unknown or wrongly shaped tensors; or
            if the number of heads or the patch is neither known nor given.
        ImportError: If it is a file of PyTorch and PyTorch is not installed.

    Example:

    ```python
    model = keras_crate.hub.from_checkpoint("checkpoint.safetensors", heads=2)
    ```
    """
    given = constructor_arguments
    with open_tensors(path_or_tensors) as file:
        if file.is_keras:
            raise ValueError(
                f"{file.origin} is a file of Keras. Load it with `keras.saving.load_model`."
            )
        checkpoint = recognise(file.tensors, file.origin)
        layout, size = checkpoint.layout, checkpoint.size
        own = _arguments(checkpoint, given, file.origin)
        name = snake_case(constructor_of(layout.family, size.dim, size.depth) or layout.family)
        arguments = {"name": name, **layout.settings, **given}
        if layout.family != "CRATEMAE":
            has_head = size.classes is not None and not checkpoint.is_backbone
            arguments.setdefault("include_top", has_head)
            arguments.setdefault("classes", size.classes or 1000)
        grid = _grid_of(own["input_shape"], own["patch_size"], given)
        with built_as(Form(grid=grid)):  # of the table, if the model takes any size
            model = getattr(models, layout.family)(**{**own, **arguments})
        with warnings.catch_warnings():
            if "input_shape" in given:  # resized because it was asked for
                warnings.filterwarnings("ignore", "The positions in")
            assign(
                model,
                checkpoint.variables(),
                file.origin,
                {"token_embedding/grid": grid},
            )
        _warn_of_unused(checkpoint, file.origin, model, "include_top" in given)
    return model


def _arguments(checkpoint: Recognised, given: dict, origin: str) -> dict:
    """Returns the arguments that the tensors show, with the image shape of the checkpoint."""
    size = checkpoint.size
    own = {"dim": size.dim, "depth": size.depth, "heads": _heads(checkpoint, given, origin)}
    rows, columns, channels = _patch(size, given, origin)
    own["patch_size"] = (rows, columns)
    grid = _grid(size.positions - 1, (rows, columns), given, origin)
    own["input_shape"] = (grid[0] * rows, grid[1] * columns, channels)
    if _channels_first(given):
        own["input_shape"] = (channels, *own["input_shape"][:2])
    if checkpoint.layout.family == "CRATEAlpha":
        own["ratio"] = size.ratio
    for name in ("dim", "depth", "heads", "patch_size", "ratio"):
        if name in given and name in own:
            same = np.array_equal(np.broadcast_to(given[name], np.shape(own[name])), own[name])
            if not same:
                raise ValueError(
                    f"`{name}` must be that of the checkpoint. Received: {name}={given[name]!r}, "
                    f"but {origin} has {own[name]!r}"
                )
    return own


def _heads(checkpoint: Recognised, given: dict, origin: str) -> int:
    size, known = checkpoint.size, checkpoint.heads()
    heads = known
    if "heads" in given and size.heads is None and size.output_map:
        heads = given["heads"]
        if known not in (None, heads):
            warn_of_heads(origin, known, heads)
    if heads is None:
        raise ValueError(
            f"The shapes in {origin} do not show the number of heads: width {size.dim}, "
            f"{size.depth} blocks, patches of {size.pixels} numbers. Pass `heads=` (`--heads` in "
            "the shell). With another number than in training, the outputs would be wrong."
        )
    if heads == 1 and size.output_map and checkpoint.layout.family != "CBT":
        raise ValueError(
            f"A model with one head has no output map in its attention, but {origin} has one. "
            "Received: heads=1"
        )
    return heads


def _patch(size, given: dict, origin: str) -> tuple[int, int, int]:
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
            f"The patches of {origin} have {size.pixels} numbers, not {rows} x {columns} pixels "
            f"of {channels} channels. Pass `patch_size=(rows, columns)`, and `input_shape=` if "
            "images do not have 3 channels."
        )
    return rows, columns, channels


def _grid(patches: int, patch: tuple[int, int], given: dict, origin: str) -> tuple[int, int]:
    """Rows and columns of the checkpoint's table of positions."""
    if None not in given.get("input_shape", [None]):
        grid = _grid_of(given["input_shape"], patch, given)
        if grid[0] * grid[1] == patches:
            return grid
    side = math.isqrt(patches)
    if side * side == patches:
        return side, side
    raise ValueError(
        f"The positions of {origin} are for {patches} patches, which do not form a square. Pass "
        "the `input_shape=` that the checkpoint was trained with."
    )


def _grid_of(input_shape, patch: tuple[int, int], given: dict) -> tuple[int, int]:
    height, width = input_shape[1:] if _channels_first(given) else input_shape[:2]
    return height // patch[0], width // patch[1]


def _channels_first(given: dict) -> bool:
    return (given.get("data_format") or keras.config.image_data_format()) == "channels_first"


def _warn_of_unused(checkpoint: Recognised, origin: str, model, top_was_given: bool) -> None:
    """Names the tensors that the model does not use, and why."""
    has_top = getattr(model.settings, "include_top", True)
    head = (
        []
        if has_top
        else [e for e in checkpoint.layout.entries(checkpoint.size) if "head" in e.path]
    )
    unused = checkpoint.unused()
    names = unused + [entry.name for entry in head]
    if not names:
        return
    words = [f"Of {origin}, {len(names)} tensors were left out: {_groups(names)}."]
    if unused:
        words.append(f"{_groups(unused)}: {checkpoint.layout.unused_are}.")
    if head and not top_was_given:
        words.append("Pass `include_top=True` to load the head.")
    warnings.warn(" ".join(words), stacklevel=4)


def _groups(names: list[str]) -> str:
    return ", ".join(sorted({name.split(".")[0] + ".*" * ("." in name) for name in names}))
