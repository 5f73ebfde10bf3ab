"""Checks of the constructors' arguments and of images."""

import warnings

import keras
import numpy as np

from keras_crate.checks import (
    MOST_PIXELS,
    check_choice,
    check_positive,
    is_image_size,
    is_positive_integer,
)
from keras_crate.keras_internals import parts_of
from keras_crate.layers.subspace_layer import divisors
from keras_crate.layers.token_pooling import POOLINGS

_MOST_CHANNELS = 65_535  # as in TIFF, which has 16 bits for them


def check_heads(dim: int, heads: int) -> None:
    """Refuses heads that do not divide the width."""
    check_positive("heads", heads)
    if dim % heads:
        raise ValueError(
            "`dim` must be divisible by `heads`. "
            f"Received: dim={dim}, heads={heads}. Heads that divide {dim}: {divisors(dim)}"
        )


def check_pooling(pooling, include_top: bool) -> None:
    """Refuses an unknown pooling, or None with a head."""
    if pooling is None and not include_top:
        return
    if pooling not in POOLINGS:
        raise ValueError(
            '`pooling` must be "token" (class token), "avg" or "max" (mean or maximum of all '
            "tokens), or None (all tokens) with include_top=False. "
            f"Received: pooling={pooling!r}, include_top={include_top}"
        )


def check_activation(activation) -> None:
    """Refuses an unknown activation, which may be a configuration, before weights are read."""
    try:
        keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`classifier_activation` must be the name of a Keras activation such as "
            '"softmax" or "sigmoid", a callable, or None for logits. '
            f"Received: classifier_activation={activation!r}"
        ) from error


def check_saveable(activation) -> None:
    """Refuses an activation that cannot be saved: a lambda, or one that is not registered."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns of lambdas
            keras.activations.get(keras.activations.serialize(keras.activations.get(activation)))
    except (ValueError, TypeError) as error:
        raise ValueError(
            "A model cannot be saved with an activation that Keras does not know by name. "
            f"Received: classifier_activation={activation!r}.\nDecorate the function with "
            "`@keras.saving.register_keras_serializable()`, or make the model with "
            "`classifier_activation=None`."
        ) from error


def check_quantization(model: keras.Model, mode=None, config=None, **others) -> None:
    """Refuses modes that Keras calibrates on text, and float8 with adapters of LoRA."""
    mode = mode or getattr(config, "mode", None)
    if mode == "float8" and any(getattr(p, "lora_enabled", False) for p in parts_of(model)):
        raise ValueError(
            "A model with adapters of LoRA cannot be quantised to float8: Keras' float8 layers "
            "do not add adapters. Save the model, whose file has them merged, load that by "
            '`weights=`, and quantise it, or use "int8".'
        )
    if mode in ("gptq", "awq"):
        raise ValueError(
            f"Keras calibrates {mode!r} on text only. Models of images cannot use it. "
            'Use `model.quantize("int8")`, "int4" or "float8". No layer was changed.'
        )


def check_rematerialise(rematerialise, dropout_rate) -> None:
    """Refuses `rematerialise` with dropout, which would draw other numbers the second time."""
    if rematerialise and dropout_rate:
        raise ValueError(
            "`rematerialise` cannot be used with `dropout_rate`: operators are computed twice, and "
            "would drop other values the second time.\nReceived: "
            f"rematerialise={rematerialise}, dropout_rate={dropout_rate}. Leave one of them out "
            "(`keras.RematScope` sets the first), or use `drop_path_rate`."
        )


# Shape of an image without the batch: height, width and channels, or channels first. Height and
# width are None for images of any size.
ImageShape = tuple[int | None, int | None, int | None]


def check_input_shape(shape, data_format: str) -> ImageShape:
    """Returns the image shape as a tuple. The default shape follows the data format."""
    layouts = {
        "channels_last": "(height, width, channels)",
        "channels_first": "(channels, height, width)",
    }
    check_choice("data_format", data_format, layouts)
    is_shape = isinstance(shape, (tuple, list)) and len(shape) == 3
    numbers = list(shape) if is_shape else []
    sides = slice(0, 2) if data_format == "channels_last" else slice(1, 3)
    if numbers[sides] == [None, None]:
        del numbers[sides]
    channels = numbers[0 if data_format == "channels_first" else -1] if numbers else 0
    sides = [] if len(numbers) == 1 else numbers[sides]
    if (
        not is_shape
        or not all(map(is_positive_integer, numbers))
        or (sides and not is_image_size(*sides))
        or channels > _MOST_CHANNELS
    ):
        raise ValueError(
            f"`input_shape` must be three positive integers {layouts[data_format]}, without the "
            f"batch, of at most {MOST_PIXELS:,} pixels and {_MOST_CHANNELS:,} channels. Height and "
            "width may both be None, for images of any size. "
            f"Received: input_shape={shape!r}"
        )
    if data_format == "channels_first" and tuple(shape) == (224, 224, 3):
        return (3, 224, 224)  # the default is written channels last
    return tuple(None if side is None else int(side) for side in shape)


def check_images(images, expected: tuple) -> None:
    """Refuses a batch whose shape is not `(batch, *expected)`, where None is any size."""
    if isinstance(images, (list, tuple)) and len(images) > 1:
        raise ValueError(
            f"The model takes one array of images. Received: a {type(images).__name__} of "
            f"{len(images)}. Stack them: `numpy.stack(images)`."
        )
    shape = getattr(images, "shape", None)
    if shape is None:
        return
    shape = tuple(shape)
    rank = len(expected) + 1
    if len(shape) == rank and all(
        a == b or None in (a, b) for a, b in zip(shape[1:], expected, strict=True)
    ):
        return
    wanted = f"a batch of images of shape (batch, {', '.join(map(str, expected))})"
    if shape == expected:
        advice = (
            "That is one image: pass `images[None]` for a batch of one, or `numpy.stack(images)` "
            "for a list of them."
        )
    elif len(shape) != rank:
        advice = f"Images have rank {rank}; these have rank {len(shape)}."
    elif sorted(map(str, shape[1:])) == sorted(map(str, expected)):
        advice = "The axes seem to be in another order: transpose them."
    else:
        advice = (
            "Resize the images, or make the model for them with `input_shape=` or "
            "`model.with_input_shape(...)` (in KerasHub, `image_shape=`). A grey image becomes "
            "colour by repeating its channel."
        )
    raise ValueError(f"The model takes {wanted}. Received: shape {shape}. {advice}")


def check_values(images) -> None:
    """Refuses an array without images, or with pixels that are NaN or infinite.

    Data sets and loaders are not checked: reading them would consume them.
    """
    if isinstance(images, (list, tuple, dict)) and not images:  # Keras speaks of an empty set
        raise ValueError(f"There must be at least one image. Received: {images}")
    if isinstance(images, np.ndarray) or keras.ops.is_tensor(images):
        if len(images) == 0:
            raise ValueError("There must be at least one image. Received: an array of none")
        check_finite(images)


def check_finite(images) -> None:
    """Refuses images with pixels that are NaN or infinite. The error has their indices."""
    images = keras.ops.convert_to_numpy(images)
    if not np.issubdtype(images.dtype, np.floating):
        return
    bad = np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))
    if len(bad):
        shown = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        raise ValueError(
            f"{len(bad)} of {len(images)} images have pixels that are NaN or infinite, at index "
            f"{shown}. Remove them, or repair them with `numpy.nan_to_num`."
        )
