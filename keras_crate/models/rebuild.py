"""Builds a model again with other settings, and copies the weights."""

from collections.abc import Collection

import keras

from keras_crate.keras_internals import parts_of
from keras_crate.layers import TokenEmbedding
from keras_crate.models.input_tensor import for_shape
from keras_crate.models.settings import Form, built_as


def rebuild(model: keras.Model, form: Form | None = None, **changes) -> keras.Model:
    """Builds a model with the settings of another one and some changes, with initial weights."""
    config = model.get_config()
    saved = Form.taken_from(config)
    grid = model.get_layer("token_embedding").grid
    form = (form or saved)._replace(grid=grid)  # used if the new model takes any size
    # Not from the configuration: a user's operator may not be serialisable.
    settings = {k: v for k, v in vars(model.settings).items() if k in config}
    if "input_shape" in changes and model.layers_before:
        changes["input_tensor"] = for_shape(model.layers_before, changes["input_shape"])
    with built_as(form):
        return type(model)(**{**config, **settings, **changes})


def made_anew(model: keras.Model) -> keras.Model:
    """Makes a model of the same form with initial weights, also of another package."""
    if hasattr(model, "settings"):
        return rebuild(model)
    return type(model).from_config(model.get_config())


def adapted(model: keras.Model, **changes) -> keras.Model:
    """Builds a model with some changes and the weights of another one.

    With other `classes`, the layer `head` is a new one: it has initial values, is
    trained and is not quantised. Positions are resized as in `carry_weights`.
    """
    form, but = None, ()
    if "classes" in changes:
        form, but = Form.taken_from(model.get_config()), ("head",)
        layers = {k: v for k, v in form.layer_settings.items() if k != "head"}
        form = form._replace(layer_settings=layers)
    new = rebuild(model, form, **changes)
    carry_weights(model, new, but)
    return new


def carry_weights(source: keras.Model, target: keras.Model, but: Collection[str] = ()) -> None:
    """Copies weights between layers of the same name in two models.

    Positions are resized to the target's grid of patches (bicubic). Registers that
    the source does not have keep their initial values.
    """
    layers = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        other = layers.get(layer.name)
        if other is None or not other.weights or layer.name in but:
            continue
        if isinstance(layer, TokenEmbedding):
            layer.assign(other.class_token, other.positions, other.grid, other.register_tokens)
        else:
            for part, source_part in zip(parts_of(layer), parts_of(other), strict=True):
                _copy_own_weights(source_part, part)


def _copy_own_weights(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copies the weights of a layer, without those of the layers inside it."""
    # In the order of names: that of a layer which was quantised later differs.
    pairs = zip(_own_weights(source), _own_weights(target), strict=True)
    for weight, new in pairs:
        # A copy, since JAX's training deletes what it was given. Not by NumPy: other processes
        # may have parts of it.
        new.assign(keras.ops.copy(weight.value))


def _own_weights(layer: keras.layers.Layer) -> list:
    inner = {id(w) for part in parts_of(layer, include_self=False) for w in part.weights}
    own = [weight for weight in layer.weights if id(weight) not in inner]
    return sorted(own, key=lambda weight: weight.name)
