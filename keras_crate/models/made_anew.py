"""The same model with initial weights."""

import keras

from keras_crate.models.rebuild import rebuild
from keras_crate.models.white_box import WhiteBoxModel


def made_anew(model: keras.Model) -> keras.Model:
    """Makes a model of the same form with initial weights, also of another package."""
    if isinstance(model, WhiteBoxModel):
        return rebuild(model)
    return type(model).from_config(model.get_config())
