"""Assigns arrays to a model's variables. All are compared before any is assigned."""

import contextlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import keras
import numpy as np

from keras_crate.keras_internals import parts_of
from keras_crate.weights.brought import settings_of
from keras_crate.weights.damaged import damaged
from keras_crate.weights.find import Found
from keras_crate.weights.recognise import Recognised, recognise
from keras_crate.weights.repository import Repository
from keras_crate.weights.tensor_files import Tensor, TensorFile, open_tensors

HEAD_LAYERS = ("head_norm", "head")
# Settings that change a model's outputs but no shape of its weights.
_SETTINGS = (
    "step_size", "penalty", "residual", "epsilon", "norm_pix_loss", "include_preprocessing",
    "mean", "std", "patch_size", "compress", "sparsify", "representatives",
)  # fmt: skip
# Settings that come with weights, for arguments that the user left at None.
_BROUGHT = ("epsilon", "mean", "std", "class_names", "evaluation", "grid")
_EMBEDDING = ("class_token", "positions")
_REGISTER_TOKENS = "token_embedding/register_tokens"
_GRID = "token_embedding/grid"


class Weights:
    """Weights of an open file.

    Attributes:
        settings: `epsilon`, `mean`, `std` and `class_names` that the weights
            were trained with, `evaluation`, by which images are prepared for
            them, and `grid`, the rows and columns of their positions. They
            replace settings that are None.
        classes: Number of classes, if `settings` has their names.
        family: Name of the model's class, or None if the file does not show it.
    """

    def __init__(self, file: TensorFile, found: Found):
        self.file, self.origin = file, found.origin
        self.recognised: Recognised | None = None
        known = {**found.settings, **settings_of(file.config, found.origin)}
        if not file.is_keras:
            self.recognised = recognise(file.tensors, found.origin)
            known |= self.recognised.layout.settings
        known["grid"] = self._grid()
        self.settings = {k: known[k] for k in _BROUGHT if known.get(k) is not None}
        self.classes = file.config.get("classes", found.settings.get("classes", 1000))
        self.family = self.recognised and self.recognised.layout.family

    def _grid(self) -> tuple[int, int] | None:
        """Rows and columns of the positions, or None if the file does not show them."""
        grid = self.file.facts.get(_GRID)
        if grid is not None or self.recognised is None:
            return None if grid is None else tuple(map(int, grid))
        side = math.isqrt(self.recognised.size.positions - 1)
        return (side, side) if side**2 == self.recognised.size.positions - 1 else None

    def channels(self, patch_size: tuple[int, int]) -> int | None:
        """Number of channels of the images, or None if the file does not show it."""
        config = self.file.config
        shape = config.get("input_shape")
        if isinstance(shape, list) and len(shape) == 3:
            return shape[0 if config.get("data_format") == "channels_first" else -1]
        if self.recognised is None:
            kernel = self.file.tensors.get("patch_embedding/projection/0")
            pixels = math.prod(kernel.shape[:1]) if kernel else 0
        elif self.recognised.size.patch is not None:
            return self.recognised.size.patch[-1]
        else:
            pixels = self.recognised.size.pixels
        # Grey or colour images in patches of another size give none of these numbers.
        channels = pixels / math.prod(patch_size)
        return int(channels) if channels in (1, 3) else None

    def assign_to(self, model: keras.Model) -> None:
        """Puts the weights into a model.

        Layers are matched by name, so files of any backend fit. Positions for
        another grid of patches are resized. The model's head keeps its initial
        values if the file has no head or one for other classes.
        """
        if self.recognised is not None:
            assign(model, self.recognised.variables(), self.origin, facts=self._heads(model))
            return
        if (
            "decoder_norm" in map(_layer_of, self.file.tensors)
            and _layer(model, "decoder_norm") is None
        ):
            raise ValueError(
                f"The weights in {self.origin} belong to another model, a CRATEMAE. Load that, "
                "and take its `encoder()`."
            )
        _warn_of_other_settings(self.file.config, model, self.origin)
        variables = _named_as_in_keras_files(model)
        tensors = {variables.get(k, k): tensor for k, tensor in self.file.tensors.items()}
        assign(model, tensors, self.origin, self.file.facts)

    def _heads(self, model) -> dict:
        """Number of heads of each layer if a shape shows it, else `{}`.

        Warns if the published size has another number of heads than the model.
        """
        heads, own = self.recognised.heads(), getattr(_layer(model, "block_0_mssa"), "heads", None)
        if self.recognised.size.heads is None:
            if None not in (heads, own) and heads != own:
                warn_of_heads(self.origin, heads, own)
            return {}
        return {f"block_{i}_mssa/heads": heads for i in range(self.recognised.size.depth)}


@contextlib.contextmanager
def open_weights(found: Found) -> Iterator[Weights]:
    """Opens weights that `find` returned, for a `with` statement."""
    with _opened(found.source, found.origin) as file:
        yield Weights(file, found)


@contextlib.contextmanager
def _opened(source, origin: str | None = None) -> Iterator[TensorFile]:
    """As `open_tensors`, but a published model's safetensors are read instead of its HDF5."""
    file = None
    if not isinstance(source, Mapping) and os.path.isdir(source):
        file = Repository(Path(source), origin or str(source)).safetensors()
    with contextlib.ExitStack() as stack:
        yield file or stack.enter_context(open_tensors(source, origin))


def load_weights(model: keras.Model, source) -> None:
    """Loads a file of any format into a model, as `weights=` of the constructors does."""
    with _opened(source) as file:
        Weights(file, Found(source, file.origin)).assign_to(model)


def assign(
    model: keras.Model, tensors: dict[str, Tensor], origin: str, facts: dict | None = None
) -> None:
    """Assigns arrays to a model's variables by their paths.

    `facts` are values besides weights: `heads` of MSSA, `grid` of the positions.
    """
    facts = facts or {}
    variables = variables_of(model)
    left_out = _head_to_train(tensors, variables)
    # The user's layers before the model's own keep their values if the file does not have them.
    unknown = {layer.name for layer in getattr(model, "layers_before", ())}
    unknown -= set(map(_layer_of, tensors))
    variables = {p: v for p, v in variables.items() if _layer_of(p) not in {*left_out, *unknown}}
    head = {_layer_of(path) for path in variables} & set(HEAD_LAYERS)
    tensors = {p: t for p, t in tensors.items() if _layer_of(p) not in {*HEAD_LAYERS} - head}
    new_registers = _new_registers(variables, tensors, origin)
    if new_registers:
        del variables[_REGISTER_TOKENS]
    _check(model, variables, tensors, origin, facts)

    # First the positions: they cannot be resized between all grids.
    class_token, positions = (tensors.pop(f"token_embedding/{k}") for k in _EMBEDDING)
    grid = facts.get(_GRID)
    grid = None if grid is None else tuple(map(int, grid))
    embedding = model.get_layer("token_embedding")
    grids = embedding.assign(class_token.read(), positions.read(), grid)
    for path, tensor in tensors.items():
        variables[path].assign(tensor.read())
    _say(model, origin, left_out, grids, new_registers)


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns a model's weights by path. The seeds of random layers are not weights."""
    return {v.path: v for v in model.weights if "seed" not in v.path.rpartition("/")[2]}


def warn_of_heads(origin: str, published: int, received: int) -> None:
    """Warns that a published size has another number of heads than the model."""
    warnings.warn(
        f"The authors' models of the size in {origin} have {published} heads. Received: "
        f"heads={received}, with which the outputs would be wrong.",
        stacklevel=5,
    )


def _check(model, variables, tensors, origin, facts) -> None:
    """Compares names, shapes, heads and dtypes."""

    def refuse(difference):
        kinds = _describe(tensors), _describe(variables)
        which = f": {kinds[0]}. This model: {kinds[1]}" if kinds[0] != kinds[1] else ""
        raise ValueError(
            f"The weights in {origin} belong to another model{which}.\n"
            f"First difference: {difference}."
        )

    quantised = [name for name, tensor in tensors.items() if "float" not in tensor.dtype]
    if quantised:
        raise ValueError(
            f"{origin} holds numbers of type {tensors[quantised[0]].dtype} ({quantised[0]}), but "
            "weights must be floats. Load a quantised model with `keras.saving.load_model`."
        )
    for path, variable in variables.items():
        if path not in tensors:
            refuse(f"{path} is in the model and not in the file{_advice(model, path)}")
        found, own = tensors[path].shape, tuple(variable.shape)
        if path == "token_embedding/positions":  # any number of them
            found, own = found[-1:], own[-1:]
        if found != own:
            refuse(f"{path} has shape {found} in the file and {own} in the model")
    for path in tensors:
        if path not in variables:
            refuse(f"{path} is in the file and not in the model")
    for name, value in facts.items():
        layer, _, fact = name.rpartition("/")
        own = getattr(_layer(model, layer), "heads", None)
        if fact == "heads" and own is not None and own != int(value):
            refuse(f"{layer} has {int(value)} heads in the file and {own} in the model")
    grid, positions = facts.get(_GRID), tensors["token_embedding/positions"].shape[-2]
    if grid is not None and (np.min(grid) < 1 or 1 + np.prod(grid) != positions):
        raise damaged(origin, f"it has {positions} positions for a grid of {list(grid)}")


def _advice(model, path: str) -> str:
    """What else loads the parts of a user's operator, which files of Keras name by attribute."""
    operator = type(_layer(model, _layer_of(path)))
    if operator.__module__.startswith(("keras.", "keras_crate.")):
        return ""
    return (
        f".\n`weights=` finds a part of {operator.__name__} by its name, which must be that of the "
        "attribute. If the file is of this model, use `model.load_weights`"
    )


def _head_to_train(tensors: dict, variables: dict) -> list[str]:
    """Names of the head's layers if the file has no head for the model's classes, else `[]`."""
    own, found = variables.get("head/kernel"), tensors.get("head/kernel")
    if own is None or "token_embedding/positions" not in tensors:
        return []
    shape = tuple(own.shape)
    if found is not None and (found.shape == shape or found.shape[:1] != shape[:1]):
        return []  # it fits, or `_check` refuses it
    return sorted({_layer_of(path) for path in variables} & set(HEAD_LAYERS))


def _new_registers(variables: dict, tensors: dict, origin: str) -> int:
    """Returns the number of the model's registers that the file does not have."""
    # As our layouts name them, or as Keras' files.
    stored = tensors.get(_REGISTER_TOKENS, tensors.get("token_embedding/2"))
    found, own = (0 if x is None else x.shape[1] for x in (stored, variables.get(_REGISTER_TOKENS)))
    if found not in (0, own):
        raise ValueError(
            f"The weights in {origin} have {found} registers, but this model has {own}. Make the "
            f"model with registers={found}."
        )
    return own - found


def _say(model, origin, left_out, grids, new_registers) -> None:
    words = []
    if new_registers:
        words.append(
            f"{origin} has no registers. The model's {new_registers} registers keep their initial "
            "values and must be trained."
        )
    if left_out:
        classes = model.get_layer("head").units
        words.append(
            f"{origin} has no head for this model's {classes} classes: {' and '.join(left_out)} "
            "keep their initial values and must be trained."
        )
    if grids:
        words.append(
            f"The positions in {origin} are for a grid of {grids[0]} patches; they were resized "
            f"to {grids[1]}."
        )
    for warning in words:
        warnings.warn(warning, stacklevel=5)


def _named_as_in_keras_files(model) -> dict[str, str]:
    """Paths of a model's variables, by their names in a `TensorFile` of Keras."""
    paths = {}
    for layer in model.layers:
        for part in [layer, *parts_of(layer, include_self=False, recursive=False)]:
            inner = {id(w) for p in parts_of(part, include_self=False) for w in p.weights}
            own = [weight for weight in part.weights if id(weight) not in inner]
            own = getattr(part, "stored_weights", own)
            prefix = layer.name if part is layer else f"{layer.name}/{part.name}"
            paths |= {f"{prefix}/{index}": weight.path for index, weight in enumerate(own)}
    return paths


def _warn_of_other_settings(config: dict, model, origin: str) -> None:
    """Warns if the file's model has other `_SETTINGS` than this model."""
    if not (config and hasattr(model, "settings")):
        return
    if config.get("fused"):
        raise ValueError(f"{origin} holds a fused model. Load it with `keras.saving.load_model`.")
    own = json.loads(json.dumps(model.get_config(), default=str))
    names = _SETTINGS
    if config.get("include_top") and own.get("include_top"):
        names = (*names, "pooling")  # it decides what the head sees
    differences = [_difference(k, config, own) for k in names if k in config and k in own]
    differences = ", ".join(filter(None, differences))
    if differences:
        warnings.warn(
            f"The model in {origin} was made with other settings: {differences[:500]}.",
            stacklevel=5,
        )


def _difference(name: str, config: dict, own: dict) -> str | None:
    """Says how two configurations differ in a setting; None if they agree."""
    theirs, ours = config[name], own[name]
    if name in ("compress", "sparsify"):
        # One configuration may have the operator's name, and the other its layer.
        (theirs, n), (ours, m) = (_operator(c[name], c) for c in (config, own))
        if theirs == ours:
            unequal = [k for k in n if k in m and n[k] != m[k]]
            theirs, ours = ({k: numbers[k] for k in unequal} for numbers in (n, m))
    return None if theirs == ours else f"{name}={theirs!r} there and {ours!r} here"


def _operator(value: str | dict, config: dict) -> tuple[str, dict]:
    """Name and numbers of an operator in a configuration."""
    if isinstance(value, str):
        return value.replace("_", ""), {k: config.get(k) for k in ("step_size", "penalty")}
    # In a list: `representatives`. The grid of patches may differ, as positions may.
    own = value.get("config") if isinstance(value, dict) else None
    if not isinstance(own, dict):  # a configuration from elsewhere
        return str(value), {}
    numbers = {k: v for k, v in own.items() if isinstance(v, (int, float, list))}
    others = ("trainable", "dropout_rate", "grid")
    numbers = {k: v for k, v in numbers.items() if k not in others}
    return str(value.get("class_name")).lower(), numbers


def _describe(tensors) -> str:
    """States width and number of blocks of the model that has these variables."""
    if "token_embedding/positions" not in tensors:
        return "a model of another kind"
    dim = tensors["token_embedding/positions"].shape[-1]
    blocks = {path.split("_")[1] for path in tensors if path.startswith("block_")}
    return f"width {dim}, {len(blocks)} blocks"


def _layer_of(path: str) -> str:
    return path.partition("/")[0]


def _layer(model, name: str):
    return next((layer for layer in model.layers if layer.name == name), None)
