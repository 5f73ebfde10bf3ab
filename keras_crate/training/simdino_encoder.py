"""What SimDINO takes as encoder, and how it takes small crops."""

import keras

from keras_crate.checks import is_image_size
from keras_crate.models.shared_size import share_at_size
from keras_crate.models.white_box import WhiteBoxModel


def image_shape_of(encoder) -> tuple[int, int, int]:
    """Returns the shape of an encoder's images."""
    if not isinstance(encoder, keras.Model):
        raise ValueError(f"`encoder` must be a Keras model. Received: {type(encoder).__name__}")
    settings = getattr(encoder, "settings", None)
    inputs, outputs = (getattr(encoder, f"{k}_shape", None) for k in ("input", "output"))
    of_images = isinstance(inputs, tuple) and len(inputs) == 4 and None not in inputs[1:]
    of_vectors = isinstance(outputs, tuple) and len(outputs) == 2
    if not (of_images and of_vectors) or getattr(settings, "include_top", False):
        raise ValueError(
            "`encoder` must take images of a fixed size and give one vector an image. Received: "
            f"a {type(encoder).__name__} from {inputs} to {outputs}. Make it with "
            "`include_top=False`; of a masked autoencoder, take `encoder()`."
        )
    if getattr(settings, "data_format", "channels_last") != "channels_last":
        raise ValueError("`encoder` must take channels last. Received: a channels-first model")
    return inputs[1:]


def small_size(encoder: keras.Model, size: int | None) -> tuple[int, int]:
    """Returns height and width of small crops, as `SimDINO` documents `local_size`."""
    patch = getattr(getattr(encoder, "settings", None), "patch_size", (1, 1))
    patch = patch if isinstance(patch, (tuple, list)) else (patch, patch)
    if size is None:
        if not isinstance(encoder, WhiteBoxModel):
            return encoder.input_shape[1:3]
        sides = zip(encoder.input_shape[1:3], patch, strict=True)
        return tuple(max(1, round(side * 3 / 7 / p)) * p for side, p in sides)
    if not is_image_size(size, size) or size < max(patch) or any(size % p for p in patch):
        raise ValueError(
            f"`local_size` must be a multiple of the patch size, {tuple(patch)} pixels, or None. "
            f"Received: local_size={size!r}"
        )
    return size, size


def at_size(encoder: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Returns the encoder for crops of a size, with the same weights."""
    *own, channels = encoder.input_shape[1:]
    if size == tuple(own):
        return encoder
    refused = (
        f"The encoder's layers do not accept small crops of {size[0]}x{size[1]} pixels. Leave "
        "`local_size` out to resize them to the encoder's size."
    )
    try:
        small = share_at_size(encoder, (*size, channels))
    except (ValueError, TypeError) as error:
        raise ValueError(refused) from error
    if small.output_shape != encoder.output_shape:
        raise ValueError(refused)
    return small
