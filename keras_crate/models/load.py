"""`load`: makes the model of a variant, with its weights."""

import keras

from keras_crate import models
from keras_crate.checks import names_arguments
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.variants import Variant, variant_named


@names_arguments(options=[models.CRATE, models.CRATEAlpha, models.CRATEMAE])
def load(variant: str, **arguments) -> WhiteBoxModel:
    """Makes the model of a variant, with its weights.

    Args:
        variant: Name of the variant, as `keras_crate.hub.list_weights()` gives it.
        **arguments: Arguments of its constructor that replace the variant's,
            such as `classes=10`, or `weights=None` for initial values.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If there is no such variant.
        FileNotFoundError: If no program can fetch its weights.
        OSError: If the Hub cannot be reached and the weights are not in its cache.

    Example:

    ```python
    model = keras_crate.load("crate_demo_mnist")
    ```
    """
    return build(variant_named(variant), **arguments)


def build(variant: Variant, **arguments) -> WhiteBoxModel:
    """As `load`, for a `Variant` of the registry."""
    given = {"weights": variant.name, "name": variant.name, **variant.arguments, **arguments}
    if "classes" in arguments and "class_names" not in arguments:
        given.pop("class_names", None)  # the weights bring them, if they are for as many classes
    data_format = given.get("data_format") or keras.config.image_data_format()
    is_own = "input_shape" in variant.arguments and "input_shape" not in arguments
    if is_own and data_format == "channels_first":
        height, width, channels = given["input_shape"]
        given["input_shape"] = (channels, height, width)
    return getattr(models, variant.constructor)(**given)
