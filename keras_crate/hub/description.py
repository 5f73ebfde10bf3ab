"""What a model shows of itself, in words for its card."""

import keras

from keras_crate.models import CRATEMAE
from keras_crate.models.settings import channels_axis
from keras_crate.models.white_box import WhiteBoxModel

_LISTED_CLASSES = 20
_FACTS = {
    "dim": "token width",
    "depth": "blocks",
    "heads": "heads",
    "patch_size": "patch",
    "input_shape": "shape of an image",
    "classes": "classes",
}


def is_classifier(model: keras.Model) -> bool:
    """Whether the model is of this package and has a head."""
    settings = getattr(model, "settings", None)
    return isinstance(model, WhiteBoxModel) and bool(getattr(settings, "include_top", False))


def class_names_of(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of a classifier's classes, none if they are not known."""
    return (getattr(model, "class_names", None) or ()) if is_classifier(model) else ()


def summary(model: keras.Model) -> str:
    """Returns what kind of model it is."""
    kind = type(model).__name__
    if not isinstance(model, WhiteBoxModel):
        return f"A Keras model ({kind})."
    return (
        f"A {kind} for images. {kind} is a white-box transformer: each of its blocks is one step "
        "of an optimisation that compresses an image's tokens and makes them sparse."
    )


def facts(model: keras.Model) -> str:
    """Returns a list of the model's sizes."""
    found = {"parameters": f"{model.count_params():,}"}
    for name, words in _FACTS.items():
        value = getattr(getattr(model, "settings", None), name, None)
        if name == "input_shape" and value is not None:
            value = _image_shape(model)  # layers before the model may take another
        if value is not None and (name != "classes" or is_classifier(model)):
            found[words] = _words(value)
    return "\n".join(f"- {name}: {value}" for name, value in found.items())


def _words(value) -> str:
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else value


def _image_shape(model: WhiteBoxModel) -> tuple | str:
    shape = model.input_shape[1:]
    if None not in shape:
        return shape
    multiples = "" if _has_own_layers(model) else " in multiples of the patch"
    channels = shape[channels_axis(model.settings.data_format)]
    return f"any height and width{multiples}, {channels} channels"


def _has_own_layers(model: WhiteBoxModel) -> bool:
    return len(model.layers_before) > 1  # the first is the input


def takes_pixels(model: keras.Model) -> bool:
    """Whether the model is known to take pixels in [0, 255]."""
    is_own = isinstance(model, WhiteBoxModel)
    return is_own and model.settings.include_preprocessing and not _has_own_layers(model)


def inputs(model: keras.Model) -> str:
    """Returns what the model takes."""
    shape = model.input_shape
    if not isinstance(model, WhiteBoxModel) or _has_own_layers(model):
        return f"The inputs have shape {shape}. The range of their values was not stated."
    first = model.settings.data_format == "channels_first"
    axes = "channels, height, width" if first else "height, width, channels"
    values = "Values must be normalised as in training."
    if takes_pixels(model):
        values = "Pixels are in [0, 255]. The model normalises them itself."
    return f"The inputs are batches of images, of shape {shape}: batch, {axes}. {values}"


def outputs(model: keras.Model) -> str:
    """Returns what the model computes."""
    if isinstance(model, CRATEMAE):
        return (
            "The model completes hidden patches of images (`reconstruct`). It learned without "
            "labels. `encoder(include_top=True, classes=...)` makes a classifier to fine-tune."
        )
    if not isinstance(model, WhiteBoxModel):
        return f"The outputs have shape {model.output_shape}."
    if not is_classifier(model):
        return (
            "The outputs are features of images, not classes. Use them for nearest neighbours, "
            "for clustering, or to train a classifier."
        )
    count = f"{model.settings.classes:,}"
    activation = keras.activations.get(model.settings.classifier_activation)
    if activation is keras.activations.softmax:
        return (
            f"The outputs are probabilities of {count} classes. They sum to 1, even if an image "
            "shows none of the classes."
        )
    if activation is keras.activations.sigmoid:
        return f"The outputs are {count} probabilities, one for each label."
    return f"The outputs are {count} numbers for each image."


def classes(model: keras.Model) -> str:
    """Returns the names of a classifier's classes, or where they are if there are many."""
    if not is_classifier(model):
        return ""
    names = class_names_of(model)
    if not names:
        return f"The names of the {model.settings.classes:,} classes were not stated."
    if len(names) > _LISTED_CLASSES:
        return (
            f"{len(names):,} classes. `model.class_names` and the file `class_names.json` have "
            "their names, in the order of the outputs."
        )
    lines = "\n".join(f"{k} {' '.join(name.split())}" for k, name in enumerate(names))
    return f"In the order of the outputs:\n\n```text\n{lines}\n```"
