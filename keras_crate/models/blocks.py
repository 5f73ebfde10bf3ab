"""The white-box blocks of a model, found by the names of their layers."""

import keras

from keras_crate.layers import ISTA, MSSA
from keras_crate.models import checks
from keras_crate.models.white_box import WhiteBoxModel


def white_box_blocks(model: keras.Model) -> list[int]:
    """Numbers of the model's blocks that have an MSSA and an ISTA layer.

    Raises:
        ValueError: If there is none.
    """
    layers = {layer.name: layer for layer in model.layers}
    blocks = []
    while isinstance(layers.get(f"block_{len(blocks)}_mssa"), MSSA) and isinstance(
        layers.get(f"block_{len(blocks)}_ista"), ISTA
    ):
        blocks.append(len(blocks))
    if not blocks:
        raise ValueError(
            "`model` must have white-box blocks, that is layers block_0_mssa, block_0_ista, ... "
            f"Received: {type(model).__name__} {model.name!r} with layers {list(layers)[:6]}. "
            "If it is inside that model, pass `model.get_layer(...)`."
        )
    return blocks


def check_measurable(model: keras.Model, images) -> None:
    """Refuses images that a model cannot take, or with pixels that are no numbers."""
    if isinstance(model, WhiteBoxModel):
        checks.check_images(images, model.settings.input_shape)
    checks.check_finite(images)
