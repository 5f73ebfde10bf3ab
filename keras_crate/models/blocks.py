"""The white-box blocks of a model, found by the names of their layers."""

import numbers
import re
from typing import NamedTuple

import keras

from keras_crate.layers import PatchNoise
from keras_crate.models import checks
from keras_crate.models.graph import BLOCK_LAYERS
from keras_crate.models.white_box import WhiteBoxModel


class Block(NamedTuple):
    """The operators of a block, and where its tokens are.

    Attributes:
        number: From 0.
        compress: The layer that compresses.
        sparsify: The layer that sparsifies.
        last: The layer that gives out the block's tokens.
        half_step: Symbolic tokens between the two, not normalised.
    """

    number: int
    compress: keras.layers.Layer
    sparsify: keras.layers.Layer
    last: keras.layers.Layer
    half_step: keras.KerasTensor

    @property
    def output(self) -> keras.KerasTensor:
        """Symbolic tokens after the block."""
        return self.last.output


def block_number(layer_name: str) -> int | None:
    """The number of the block that a layer belongs to, by its name; None outside the blocks."""
    match = re.match(r"block_(\d+)_", layer_name)
    return int(match.group(1)) if match else None


def white_box_blocks(model: keras.Model) -> list[Block]:
    """The model's blocks, each of two operators.

    Raises:
        ValueError: If there is none.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a Keras model. Received: {type(model).__name__}. A model in a file "
            "is loaded by `keras.saving.load_model`."
        )
    layers = {layer.name: layer for layer in model.layers}
    blocks = []
    while f"block_{len(blocks)}_norm_2" in layers:
        prefix = f"block_{len(blocks)}_"
        fixed = {prefix + name for name in BLOCK_LAYERS}
        operators = [n for n in layers if n.startswith(prefix) and n not in fixed]
        if len(operators) != 2:
            break
        compress, sparsify = (layers[name] for name in operators)
        blocks.append(
            Block(
                len(blocks),
                compress,
                sparsify,
                last=layers.get(prefix + "add_2", sparsify),
                half_step=layers[prefix + "norm_2"].input,
            )
        )
    if not blocks:
        raise ValueError(
            "`model` must have white-box blocks, that is layers block_0_norm_1, block_0_mssa, "
            "block_0_norm_2, block_0_ista, ... "
            f"Received: {type(model).__name__} {model.name!r} with layers {list(layers)[:6]}. "
            "If it is inside that model, pass `model.get_layer(...)`."
        )
    return blocks


def chosen_blocks(model: keras.Model, layers) -> list[Block]:
    """Blocks by their numbers, of which negative ones count from the last; all for None.

    Raises:
        ValueError: If the model has no such block.
    """
    blocks = white_box_blocks(model)
    if layers is None:
        return blocks
    known = ", ".join(map(str, range(len(blocks))))
    if isinstance(layers, str) or not hasattr(layers, "__iter__"):
        raise ValueError(
            "Layers must be a list of numbers of blocks of the model, which has "
            f"{known}. Received: {layers!r}"
        )
    layers = list(layers)
    if not layers:
        raise ValueError(f"Layers must be at least one block of the model, which has {known}.")
    for number in layers:
        is_number = isinstance(number, numbers.Integral) and not isinstance(number, bool)
        if not is_number or not -len(blocks) <= number < len(blocks):
            raise ValueError(
                f"A layer must be the number of a block of the model, which has {known}; negative "
                f"ones count from the last. Received: {number!r}"
            )
    return [blocks[number] for number in layers]


def check_bases(compress: keras.layers.Layer) -> None:
    """Refuses a layer that does not tell the subspaces that it compresses against."""
    if not hasattr(compress, "subspace_bases"):
        raise ValueError(
            f"The coding rate is against the subspaces of {compress.name!r}, which does not tell "
            f"them: give {type(compress).__name__} a method `subspace_bases()` that returns a "
            "tensor of shape (heads, d, p), as `MSSA` has."
        )


def check_whole(model: keras.Model) -> None:
    """Refuses a model that hides patches at random, and so would give random numbers."""
    if any(isinstance(layer, PatchNoise) for layer in model.layers):
        raise ValueError(
            f"{type(model).__name__} {model.name!r} hides patches at random: what is inside it is "
            "another at each call. Pass `model.encoder()`, which sees all of them."
        )


def check_measurable(model: keras.Model, images) -> None:
    """Refuses images that a model cannot take, or with pixels that are no numbers."""
    if isinstance(model, WhiteBoxModel):
        checks.check_images(images, model.settings.input_shape)
    checks.check_finite(images)
