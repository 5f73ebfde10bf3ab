"""The names in the files of published models, which KerasHub and plain Keras read.

Keras makes the class that is registered under the name in a folder's `config.json`.
KerasHub needs a backbone under this name, and plain Keras needs the model's own class.
Published models therefore have separate names. Each name stands for the model's class
until `keras_crate.keras_hub` registers a backbone under it.
"""

import keras

from keras_crate.models.cbt import CBT
from keras_crate.models.classifier import Classifier
from keras_crate.models.crate import CRATE
from keras_crate.models.crate_alpha import CRATEAlpha
from keras_crate.models.crate_mae_encoder import CRATEMAEEncoder

# The start of the names of KerasHub's classes for a model, such as `CRATEBackbone`.
STEMS: dict[type[Classifier], str] = {
    CRATE: "CRATE",
    CRATEAlpha: "CRATEAlpha",
    CRATEMAEEncoder: "CRATEMAE",
    CBT: "CBT",
}
PACKAGE = "keras_crate"
PUBLISHED_NAMES = {f"{PACKAGE}>{stem}Backbone": model for model, stem in STEMS.items()}

keras.saving.get_custom_objects().update(PUBLISHED_NAMES)


def published_class(model: keras.Model) -> type[Classifier] | None:
    """Returns the class that plain Keras makes of a published model, or None for other models.

    An instance of a user's subclass is another model.
    """
    name = keras.saving.get_registered_name(type(model))
    return type(model) if type(model) in STEMS else PUBLISHED_NAMES.get(name)


def published_config(model: Classifier, config: dict) -> dict:
    """Returns the content of a published `config.json`."""
    name = f"{PACKAGE}>{STEMS[published_class(model)]}Backbone"
    # For KerasHub's `image_shape=(None, None, 3)`: the table of positions is not resized.
    grid = model.get_layer("token_embedding").grid
    return {**config, "registered_name": name, "config": {**config["config"], "grid": grid}}


def without_keras_hub():
    """In its `with` statement, published names stand for the models of this package."""
    return keras.saving.CustomObjectScope(PUBLISHED_NAMES)
