"""Makes the model of a variant."""

import keras

from keras_crate import models
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.variants import Variant


def build(variant: Variant, **arguments) -> WhiteBoxModel:
    """Makes the model of a variant with its weights, as `keras_crate.load` does."""
    given = {"weights": variant.name, "name": variant.name, **variant.arguments, **arguments}
    if "classes" in arguments and "class_names" not in arguments:
        given.pop("class_names", None)  # the weights bring them, if they are for as many classes
    if not given.get("include_preprocessing", True):
        given |= {name: arguments.get(name) for name in ("mean", "std")}  # for the error, if given
    data_format = given.get("data_format") or keras.config.image_data_format()
    is_own = "input_shape" in variant.arguments and "input_shape" not in arguments
    if is_own and data_format == "channels_first":
        height, width, channels = given["input_shape"]
        given["input_shape"] = (channels, height, width)
    return getattr(models, variant.constructor)(**given)
