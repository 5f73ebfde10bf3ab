"""Finds the blocks of a model by the names of their layers."""

import operator
import re
from typing import NamedTuple

import keras

from keras_crate.layers import PatchNoise
from keras_crate.models.graph import BLOCK_LAYERS


class Block(NamedTuple):
    """The operators of a block, and its tokens."""

    number: int  # from 0
    compress: keras.layers.Layer
    sparsify: keras.layers.Layer
    last: keras.layers.Layer  # the layer whose output is the block's
    half_step: keras.KerasTensor  # tokens between the two operators, not normalised

    @property
    def output(self) -> keras.KerasTensor:
        """Symbolic tokens after the block."""
        return self.last.output


def block_number(layer_name: str) -> int | None:
    """Returns the number of a layer's block, or None for a layer outside the blocks."""
    match = re.match(r"block_(\d+)_", layer_name)
    return int(match.group(1)) if match else None


def white_box_blocks(model: keras.Model) -> list[Block]:
    """Returns the model's blocks, each with two operators."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a Keras model. Received: {type(model).__name__}. Load a model from a "
            "file by `keras.saving.load_model`."
        )
    layers = {layer.name: layer for layer in model.layers}
    blocks = []
    while f"block_{len(blocks)}_norm_2" in layers:
        prefix = f"block_{len(blocks)}_"
        others = {prefix + name for name in BLOCK_LAYERS}
        operators = [n for n in layers if n.startswith(prefix) and n not in others]
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
            "`model` must have white-box blocks, with layers block_0_norm_1, block_0_mssa, "
            "block_0_norm_2, block_0_ista, ... "
            f"Received: {type(model).__name__} {model.name!r} with layers {list(layers)[:6]}. "
            "If it is inside that model, pass `model.get_layer(...)`.\n"
            "`interpret` and `measure` also take KerasHub's ViTBackbone, DeiTBackbone and "
            "DINOV2Backbone, classifiers built on them, and your own ViT as an "
            "`interpret.ModelView`."
        )
    return blocks


def chosen_blocks(model: keras.Model, layers) -> list[Block]:
    """Returns the blocks with these numbers. Negative ones count from the last; None means all."""
    blocks = white_box_blocks(model)
    return [blocks[number] for number in chosen_numbers(layers, len(blocks))]


def chosen_numbers(layers, depth: int) -> list[int]:
    """Returns numbers of blocks, counted from 0. None means all of the `depth` blocks."""
    if layers is None:
        return list(range(depth))
    try:
        chosen = [range(depth)[operator.index(number)] for number in layers]
    except (TypeError, IndexError):
        chosen = []
    if not chosen:
        raise ValueError(
            f"Blocks have the numbers {', '.join(map(str, range(depth)))}. Negative numbers count "
            f"from the last. Received: {layers!r}"
        )
    return chosen


def check_bases(compress: keras.layers.Layer) -> None:
    """Refuses an operator without a method `subspace_bases()`."""
    if not hasattr(compress, "subspace_bases"):
        raise ValueError(
            f"The coding rate needs the subspaces of {compress.name!r}. Give "
            f"{type(compress).__name__} a method `subspace_bases()` that returns a tensor of shape "
            "(heads, d, p), as `MSSA` has."
        )


def check_whole(model: keras.Model) -> None:
    """Refuses a model that hides patches at random, since its values differ at each call."""
    if any(isinstance(layer, PatchNoise) for layer in model.layers):
        raise ValueError(
            f"{type(model).__name__} {model.name!r} hides patches at random. Pass "
            "`model.encoder()`, which sees all of them."
        )
