"""A model for the images to look with."""

import keras

from keras_crate.models.white_box import WhiteBoxModel


def for_images(model: keras.Model, images) -> keras.Model:
    """The model, or the same for images of another height and width."""
    shape = tuple(getattr(images, "shape", ()))[1:]
    if not isinstance(model, WhiteBoxModel) or len(shape) != 3:
        return model
    return model if shape == model.settings.input_shape else model.with_input_shape(shape)
