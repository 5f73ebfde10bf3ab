"""Weights files: read whole, compared with the model, and only then assigned."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import h5py
import keras

from keras_crate.layers import TokenEmbedding
from keras_crate.models.sizes import SIZES
from keras_crate.models.white_box import HEAD_LAYERS, WhiteBoxModel

_ACCEPTED = (
    "`weights` takes None or the path of a file written by `model.save` (.keras) or "
    "`model.save_weights` (.weights.h5)."
)


def load_weights_file(model: WhiteBoxModel, path: str | os.PathLike) -> None:
    """Loads a `.keras` or `.weights.h5` file into a model of the package.

    Layers are matched by name, so that files of any backend fit. Positions
    made for another grid of patches are resized. A head for other classes is
    left at its initial values, with a warning; a file's head is passed over
    where the model has none. Everything is checked before anything is
    assigned.

    Args:
        model: A model with a `token_embedding` layer.
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no weights file, is damaged, or belongs to a model
            of another size; the error names both sizes and the first variable
            that differs.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file at {path}. {_ACCEPTED}")
    saved = _read(path)
    targets = _targets(model)
    names = {name for name, _ in targets}
    left_out = _other_head(saved, targets)
    saved = {
        key: values
        for key, values in saved.items()
        if key[0] not in left_out and (key[0] in names or key[0] not in HEAD_LAYERS)
    }
    targets = {key: layer for key, layer in targets.items() if key[0] not in left_out}
    _compare(path, model, saved, targets)
    for key, layer in targets.items():
        if layer.weights:
            layer.load_own_variables(saved[key])
    if left_out:
        warnings.warn(
            f"{path} has a head for other classes than this model's {model.settings.classes}: "
            f"{' and '.join(sorted(left_out))} keep their initial values and must be trained.",
            stacklevel=3,
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


def _collect(layers) -> dict[tuple[str, str], dict]:
    saved = {}
    for group in layers.values():
        layer = group["vars"].attrs["name"]
        parts = {"": group["vars"]}
        parts |= {name: part["vars"] for name, part in group.items() if name != "vars"}
        for part, variables in parts.items():
            values = {key: variables[key][()] for key in variables}
            if values:
                saved[layer, part] = values
    return saved


def _targets(model) -> dict[tuple[str, str], keras.layers.Layer]:
    """The model's layers with weights, addressed as `_read` addresses a file's."""
    targets = {}
    for layer in model.layers:
        parts = list(layer._flatten_layers(include_self=False, recursive=False))
        targets |= {(layer.name, part.name): part for part in parts if part.weights}
        if not parts and layer.weights:
            targets[layer.name, ""] = layer
    return targets


def _stored(layer) -> dict[str, tuple]:
    """Shapes of what the layer would write to a file."""
    store = {}
    layer.save_own_variables(store)
    return {key: tuple(value.shape) for key, value in store.items()}


def _other_head(saved, targets) -> set[str]:
    """The head's layers, if the file's head has another number of classes."""
    head = ("head", "")
    if head in saved and head in targets:
        shapes = {key: value.shape for key, value in saved[head].items()}
        expected = _stored(targets[head])
        same_width = shapes["0"][0] == expected["0"][0]
        if shapes.keys() == expected.keys() and same_width and shapes != expected:
            return set(HEAD_LAYERS)
    return set()


def _compare(path, model, saved, targets) -> None:
    for key, layer in targets.items():
        expected = _stored(layer)
        found = {k: v.shape for k, v in saved.get(key, {}).items()}
        if isinstance(layer, TokenEmbedding):  # any grid will do
            expected = {"0": expected["0"], "1": (1, "any number", expected["1"][-1])}
            found = {k: (*v[:1], "any number", *v[2:]) if k == "1" else v for k, v in found.items()}
            found.pop("grid", None)
        for index, variable in enumerate(layer.weights):
            k = str(index)
            if found.get(k) != expected.get(k):
                _refuse(path, model, saved, variable.path, expected.get(k), found.get(k))
        if found.keys() != expected.keys():
            raise ValueError(
                f"{path} holds {'/'.join(filter(None, key))} in another form "
                f"(variables {sorted(found)}, the model's are {sorted(expected)}): it may have "
                "been quantised. Load it with `keras.saving.load_model`."
            )
    extra = [key for key in saved if key not in targets]
    if extra:
        _refuse(path, model, saved, "/".join(filter(None, extra[0])), None, "present")


def _refuse(path, model, saved, variable, expected, found):
    settings = vars(model.settings)
    raise ValueError(
        f"The weights in {path} belong to another model. The file: {_describe_file(saved)}. This "
        f"model: {_describe(settings.get('dim'), settings.get('depth'))}, patch "
        f"{settings['patch_size']}. First variable that differs: {variable} has "
        f"{_shape_words(found)} in the file and {_shape_words(expected)} in the model."
    )


def _shape_words(shape) -> str:
    return "no counterpart" if shape is None else f"shape {shape}" if shape != "present" else shape


def _describe_file(saved) -> str:
    positions = saved.get(("token_embedding", ""), {}).get("1")
    if positions is None:
        return "no model of this package"
    depth = len({name for name, _ in saved if name.startswith("block_") and "ista" in name})
    return _describe(positions.shape[-1], depth)


def _describe(dim, depth) -> str:
    names = [name for name, size in SIZES.items() if size[:2] == (dim, depth)]
    return f"width {dim}, {depth} blocks" + (f" ({names[0]})" if names else "")
