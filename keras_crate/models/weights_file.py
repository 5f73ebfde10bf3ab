"""Saved weights: read whole, compared with the model, and only then assigned."""

import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from keras_crate.keras_internals import parts_of
from keras_crate.layers import TokenEmbedding
from keras_crate.models.graph import BLOCK_LAYERS
from keras_crate.models.operators import operator_config, operator_prototype
from keras_crate.models.sizes import constructor_of
from keras_crate.models.white_box import HEAD_LAYERS, WhiteBoxModel

# Settings that change what a model computes and leave no trace in its weights.
_UNSEEN = (
    "step_size", "penalty", "residual", "epsilon", "norm_pix_loss", "include_preprocessing",
    "mean", "std", "patch_size", "compress", "sparsify",
)  # fmt: skip

_ACCEPTED = (
    "`weights` takes None, the name of published weights (`keras-crate weights` lists them), "
    "`hf://user/repository`, or the path of a file written by `model.save` (.keras) or "
    "`model.save_weights` (.weights.h5)."
)


def load_weights_file(
    model: WhiteBoxModel, path: str | os.PathLike, origin: str | None = None
) -> None:
    """Loads a `.keras` or `.weights.h5` file into a model of the package.

    Layers are matched by name, so that files of any backend fit. Positions
    made for another grid of patches are resized. A head for other classes is
    left at its initial values, with a warning; a file's head is passed over
    where the model has none, with another. Settings that no weight shows, such
    as `penalty`, are compared where the file has them (`.keras`), with a
    warning. Everything is checked before anything is assigned.

    Args:
        model: A model with a `token_embedding` layer.
        path: The file, or a folder in Keras' format: a `.keras` file unpacked.
        origin: What to call it in errors and warnings; by default the path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no weights file, is damaged, or belongs to a model
            of another size; the error names both sizes and the first variable
            that differs.
    """
    path = Path(path)
    origin = origin or str(path)
    weights = path / "model.weights.h5" if path.is_dir() else path
    if not weights.is_file():
        raise FileNotFoundError(f"There is no weights file at {weights}. {_ACCEPTED}")
    saved = _read(weights)
    config = saved_config(path)
    if config and config.get("fused", False) != model.settings.fused:
        raise ValueError(
            f"One of the two is fused, {origin} or this model, and the other is not. Load the file "
            "with `keras.saving.load_model`."
        )
    _warn_of_other_settings(config, model, origin)
    _load(model, saved, origin)


def _load(model: WhiteBoxModel, saved: dict[tuple[str, str], dict], origin: str) -> None:
    targets = _targets(model)
    names = {name for name, _ in targets}
    passed_over = sorted({key[0] for key in saved} & set(HEAD_LAYERS) - names)
    left_out = _other_head(saved, targets) & names
    saved = {
        key: values
        for key, values in saved.items()
        if key[0] not in left_out and (key[0] in names or key[0] not in HEAD_LAYERS)
    }
    targets = {key: layer for key, layer in targets.items() if key[0] not in left_out}
    _compare(origin, model, saved, targets)
    for key, layer in targets.items():
        if key in saved:
            layer.load_own_variables(saved[key])
    if left_out:
        warnings.warn(
            f"{origin} has no head for this model's {model.settings.classes} classes: "
            f"{' and '.join(sorted(left_out))} keep their initial values and must be trained.",
            stacklevel=4,
        )
    elif passed_over:
        warnings.warn(
            f"{origin} has a head that this model does not: {' and '.join(passed_over)} were "
            "left out.",
            stacklevel=4,
        )


def _read(path: Path) -> dict[tuple[str, str], dict]:
    """Arrays of each layer by `(layer name, sublayer name or "")`."""
    damaged = f"The weights file {path} is truncated or damaged: copy or download it again."
    with path.open("rb") as file:
        start = file.read(8)
    try:
        if start[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                if "model.weights.h5" not in archive.namelist():
                    raise ValueError(f"{path} is a zip archive without Keras weights. {_ACCEPTED}")
                source = io.BytesIO(archive.read("model.weights.h5"))
        elif start == b"\x89HDF\r\n\x1a\n":
            source = path
        else:
            raise ValueError(f"{path} is not a Keras weights file. {_ACCEPTED}")
        with h5py.File(source, "r") as file:
            if "layers" not in file:
                raise ValueError(f"{path} is an HDF5 file without Keras layers. {_ACCEPTED}")
            return _collect(file["layers"])
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(damaged) from error


def saved_config(path: Path) -> dict:
    """The configuration beside the weights; empty where there is none that can be read.

    Args:
        path: A `.keras` or other file, or a folder in Keras' format.
    """
    try:
        if path.is_dir():
            config = (path / "config.json").read_text("utf8")
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json")
        else:
            return {}
        return json.loads(config).get("config", {})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return {}  # reading the weights tells what is wrong


def _warn_of_other_settings(config: dict, model, origin: str) -> None:
    """Says which settings, that no weight shows, the file's model had otherwise."""
    if not config:
        return
    config, own = (_with_operators(json.loads(json.dumps(c))) for c in (config, model.get_config()))
    # What a head sees of the tokens; without one it is the user's choice.
    unseen = (
        (*_UNSEEN, "pooling") if config.get("include_top") and own.get("include_top") else (_UNSEEN)
    )
    other = [k for k in unseen if k in config and k in own and config[k] != own[k]]
    if other:
        differences = ", ".join(f"{k}={config[k]!r} there and {own[k]!r} here" for k in other)
        warnings.warn(
            f"The model in {origin} was made with other settings: {differences}.",
            stacklevel=4,
        )


def _with_operators(config: dict) -> dict:
    """The configuration with its operators' settings instead of names and layers."""
    config = dict(config)
    for role in ("compress", "sparsify"):
        value = config.get(role)
        if isinstance(value, str):
            arguments = {k: v for k, v in config.items() if k not in ("name", "dtype")}
            value = operator_config(operator_prototype(role, value, **arguments))
        if value is not None:
            numbers = {k: v for k, v in value["config"].items() if isinstance(v, (int, float))}
            numbers = {k: v for k, v in numbers.items() if k not in ("trainable", "dropout_rate")}
            config[role] = {value["class_name"]: numbers}
    return config


def _collect(layers) -> dict[tuple[str, str], dict]:
    saved = {}
    for group in layers.values():
        if "layers" in group:
            raise ValueError(
                "The weights file holds a model inside another. Load it with "
                "`keras.saving.load_model`, take the model inside with `get_layer`, and save that."
            )
        layer = group["vars"].attrs["name"]
        parts = {"": group["vars"]}
        parts |= {name: part["vars"] for name, part in group.items() if "vars" in part}
        for part, variables in parts.items():
            values = {key: variables[key][()] for key in variables}
            if values:
                saved[layer, part] = values
    return saved


def _targets(model) -> dict[tuple[str, str], keras.layers.Layer]:
    """The model's layers that store something, addressed as `_read` addresses a file's."""
    targets = {}
    for layer in model.layers:
        parts = parts_of(layer, include_self=False, recursive=False)
        parts = {"": layer, **{part.name: part for part in parts}}
        targets |= {(layer.name, name): part for name, part in parts.items() if _stored(part)}
    return targets


def _stored(layer) -> dict:
    """What the layer would write to a file: weights by number, facts by name."""
    store = {}
    layer.save_own_variables(store)
    return store


def _other_head(saved, targets) -> set[str]:
    """The head's layers, if the file has none or one for other classes."""
    head = ("head", "")
    if head in targets and head not in saved and ("token_embedding", "") in saved:
        return set(HEAD_LAYERS)
    if head in saved and head in targets:
        shapes = {key: value.shape for key, value in saved[head].items()}
        expected = {key: tuple(value.shape) for key, value in _stored(targets[head]).items()}
        same_width = shapes["0"][0] == expected["0"][0]
        if shapes.keys() == expected.keys() and same_width and shapes != expected:
            return set(HEAD_LAYERS)
    return set()


def _compare(origin, model, saved, targets) -> None:
    decoder = ("decoder_norm", "")
    hint = ""
    if decoder in saved and decoder not in targets:
        hint = " It is a CRATEMAE: load that, and take its `encoder()`."

    def refuse(difference):
        settings = model.settings
        raise ValueError(
            f"The weights in {origin} belong to another model. The file: {_describe_file(saved)}. "
            f"This model: {_describe(settings.dim, targets)}, patch {settings.patch_size}. "
            f"First variable that differs: {difference}." + hint
        )

    for key, layer in targets.items():
        expected, found = _stored(layer), saved.get(key, {})
        for index in sorted(k for k in expected if k.isdigit()):
            wanted, name = tuple(expected[index].shape), _variable(layer, expected, index)
            if index not in found:
                refuse(f"{name} has no counterpart in the file")
            shape = found[index].shape
            if isinstance(layer, TokenEmbedding) and index == "1":  # any grid will do
                shape, wanted = shape[-1:], wanted[-1:]
            if shape != wanted:
                refuse(f"{name} has shape {shape} in the file and {wanted} in the model")
        if "heads" in found and found["heads"] != expected["heads"]:
            refuse(
                f"{layer.name} has {found['heads']} heads in the file and {expected['heads']} in "
                "the model"
            )
        if found.keys() - {"grid"} != expected.keys() - {"grid"} and "0" in expected:
            raise ValueError(
                f"{origin} holds {'/'.join(filter(None, key))} in another form (it may have been "
                "quantised): load it with `keras.saving.load_model`."
            )
    for key in saved:
        if key not in targets:
            refuse(f"{'/'.join(filter(None, key))} is in the file and not in the model")


def _variable(layer, stored, index: str) -> str:
    """A stored variable's name; a quantised layer stores others than its weights."""
    shapes = [tuple(stored[k].shape) for k in sorted(k for k in stored if k.isdigit())]
    if shapes == [tuple(weight.shape) for weight in layer.weights]:
        return layer.weights[int(index)].path
    return f"{layer.path}, stored variable {index},"


def _describe_file(saved) -> str:
    positions = saved.get(("token_embedding", ""), {}).get("1")
    return (
        "no model of this package" if positions is None else _describe(positions.shape[-1], saved)
    )


def _describe(dim, keys) -> str:
    """Width, blocks and operators of the model that has these layers, and its name."""
    names = {name for name, _ in keys}
    blocks = {name.split("_")[1] for name in names if name.startswith("block_")}
    operators = {name.removeprefix("block_0_") for name in names if name.startswith("block_0_")}
    operators -= set(BLOCK_LAYERS)
    family = {("ista", "mssa"): "CRATE", ("mssa", "overcomplete_ista"): "CRATEAlpha"}.get(
        tuple(sorted(operators)), ""
    )
    if "encoder_norm" in names:
        family = "CRATEMAE" if "decoder_norm" in names else "CRATEMAEEncoder"
    constructor = constructor_of(family, dim, len(blocks))
    return f"width {dim}, {len(blocks)} blocks of {' and '.join(sorted(operators))}" + (
        f" ({constructor})" if constructor else ""
    )
