"""The operators of a block: one compresses, the other sparsifies.

A block is two half-steps, `Z <- [Z +] operator(LN(Z))`. The sum is computed if the
operator's attribute `residual` is true.
"""

import re
from collections.abc import Callable

import keras

from keras_crate.checks import argument_names
from keras_crate.layers import CBSA, ISTA, MSSA, TSSA, FusedISTA, OvercompleteISTA
from keras_crate.layers.folded_norm import FusedCBSA, FusedMSSA, FusedTSSA

# What `compress` and `sparsify` take.
Operator = str | Callable[..., keras.layers.Layer] | keras.layers.Layer | dict

OPERATORS = {
    "compress": {"mssa": MSSA, "tssa": TSSA, "cbsa": CBSA},
    "sparsify": {"ista": ISTA, "overcomplete_ista": OvercompleteISTA},
}
# As in the paper, for an operator without an attribute `residual`.
_RESIDUAL = {"compress": True, "sparsify": False}


def given_operator(role: str, given, **arguments) -> str | keras.layers.Layer:
    """Returns the name of an operator that a user passed, or a layer to copy.

    A layer class or factory is called with those of `arguments` that it takes by name.
    """
    names = tuple(OPERATORS[role])
    if isinstance(given, str):
        if given not in names:
            raise ValueError(
                f"`{role}` must be one of {names}, a layer class, a factory or a layer. "
                f"Received: {role}={given!r}"
            )
        return given
    layer = given
    if callable(given) and not isinstance(given, keras.layers.Layer):
        accepted = _accepted(given, arguments)
        try:
            layer = given(**accepted)
        except TypeError as error:
            raise ValueError(
                f"`{role}` must be a layer class or factory that needs no arguments other than "
                f"{', '.join(arguments)}. Received: {role}={given!r}.\nThe call with {accepted} "
                f"failed: {error}. Set other arguments by `functools.partial`."
            ) from error
    if isinstance(given, dict):
        layer = keras.saving.deserialize_keras_object(given)
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            f"`{role}` must be one of {names}, a layer class, a factory that returns a layer, or "
            f"a layer. Received: {role}={given!r}"
            + ("" if layer is given else f", which returned {layer!r}")
        )
    return layer


def operator_prototype(role: str, setting, **arguments) -> keras.layers.Layer:
    """Returns the layer that each block copies. A named operator is made with `arguments`."""
    if isinstance(setting, keras.layers.Layer):
        return setting
    layer_class = OPERATORS[role][setting]
    return layer_class(**_accepted(layer_class, arguments))


def fused_operator(layer: keras.layers.Layer, dim: int) -> keras.layers.Layer | None:
    """Returns an operator that holds the scale and offset of the normalisation before it.

    Returns None for operators that have no such form: a user's own, and
    `OvercompleteISTA`, which uses its input twice.
    """
    if type(layer) is ISTA:
        return FusedISTA(dim)
    for layer_class, fused_class in ((MSSA, FusedMSSA), (TSSA, FusedTSSA), (CBSA, FusedCBSA)):
        if type(layer) is layer_class:
            return fused_class.from_config({**layer.get_config(), "dropout_rate": 0.0})
    return None


def operator_config(setting) -> str | dict:
    """Returns an operator for a configuration: its name, or the serialised layer."""
    if isinstance(setting, str):
        return setting
    config = keras.saving.serialize_keras_object(setting)
    config.pop("build_config", None)  # each block builds a copy
    return config


def operator_name(layer: keras.layers.Layer) -> str:
    """Returns the operator's name in a block: its class in snake case, such as `tssa`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", type(layer).__name__)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def is_residual(role: str, layer: keras.layers.Layer) -> bool:
    """Whether a block adds its tokens to the operator's output."""
    return bool(getattr(layer, "residual", _RESIDUAL[role]))


def _accepted(function, arguments: dict) -> dict:
    """Returns the arguments that a class or factory takes by name and that are not bound."""
    names = argument_names(function)
    names -= set(getattr(function, "keywords", ()))  # bound by functools.partial
    return {name: value for name, value in arguments.items() if name in names}
