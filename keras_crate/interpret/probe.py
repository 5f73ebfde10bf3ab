"""Which blocks to look at, and a model for the images to look with."""

import keras

from keras_crate.models.blocks import Block, white_box_blocks
from keras_crate.models.white_box import WhiteBoxModel


def blocks_of(model: keras.Model, layers) -> list[Block]:
    """Blocks by their numbers, of which negative ones count from the last; all for None.

    Raises:
        ValueError: If the model has no such block.
    """
    blocks = white_box_blocks(model)
    chosen = []
    for layer in range(len(blocks)) if layers is None else layers:
        if not -len(blocks) <= layer < len(blocks):
            raise ValueError(
                f"A layer must be a block of the model, from {-len(blocks)} to {len(blocks) - 1}. "
                f"Received: {layer}"
            )
        chosen.append(blocks[layer])
    return chosen


def for_images(model: keras.Model, images) -> keras.Model:
    """The model, or the same for images of another height and width."""
    shape = tuple(getattr(images, "shape", ()))[1:]
    if not isinstance(model, WhiteBoxModel) or len(shape) != 3:
        return model
    return model if shape == model.settings.input_shape else model.with_input_shape(shape)
