"""The argument `input_tensor`: symbolic images that a model is built on."""

from typing import TypeAlias

import keras

from keras_crate.models.checks import ImageShape

# What the constructors' `input_tensor` takes; a dictionary is a part of a configuration.
InputTensor: TypeAlias = keras.KerasTensor | dict | None


def model_before(input_tensor: InputTensor) -> keras.Model | None:
    """Returns the model of the layers from the user's input to `input_tensor`."""
    if input_tensor is None:
        return None
    if isinstance(input_tensor, dict):
        layers = input_tensor["config"]["layers"]
        if len(layers) > 1:
            return keras.saving.deserialize_keras_object(input_tensor)
        input_tensor = keras.saving.deserialize_keras_object(layers[0]).output
    is_image = isinstance(input_tensor, keras.KerasTensor) and len(input_tensor.shape) == 4
    sources = keras.utils.get_source_inputs(input_tensor) if is_image else []
    if len(sources) != 1:
        raise ValueError(
            "`input_tensor` must be a symbolic batch of images: `keras.Input(shape)`, or the "
            f"output of layers after one such input. Received: a {type(input_tensor).__name__} of "
            f"shape {getattr(input_tensor, 'shape', None)}"
        )
    if sources[0] is input_tensor:
        # Keras 3.12 makes a model of an input alone only if a layer takes that input.
        keras.layers.Identity()(input_tensor)
    return keras.Model(sources[0], input_tensor)


def shape_after(before: keras.Model, input_shape: ImageShape | None) -> ImageShape:
    """Returns the image shape that the layers before give."""
    shape = tuple(before.outputs[0].shape[1:])
    if input_shape is not None and tuple(input_shape) != shape:
        raise ValueError(
            "`input_shape` must be that of `input_tensor`, or be left out. Received: "
            f"input_shape={input_shape} with an `input_tensor` of shape {shape}"
        )
    return shape


def for_shape(layers: list[keras.layers.Layer], input_shape: ImageShape) -> keras.KerasTensor:
    """Returns an input like the first of these layers, for images of another shape.

    Refuses other layers of the user's, which are for one shape of images.
    """
    images, *others = layers
    if others:
        raise ValueError(
            "The image shape cannot change, since the model begins with layers of your own. "
            f"Received: a model with {[layer.name for layer in others]}.\nSave the model, and make "
            "a new one with `weights=FILE` and an `input_tensor` after layers of the same names."
        )
    return keras.Input(input_shape, name=images.name, dtype=images.dtype)
