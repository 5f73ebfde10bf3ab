"""The attention of the heads."""

import inspect
from collections.abc import Iterable

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.interpret.intermediates import model_for
from keras_crate.models.blocks import chosen_blocks, prefix_tokens_of
from keras_crate.models.inside import Inside


@names_arguments
def attention_maps(
    model: keras.Model,
    images,
    layer: int | list[int] = -1,
    batch_size: int = 32,
    token: int | None = 0,
) -> np.ndarray | list[np.ndarray]:
    """Returns the attention of one token to the patches, for each head.

    Args:
        model: A model of the package, or any functional model with the layers
            of its blocks.
        images: Array of shape `(n, height, width, channels)`. A model of the
            package takes any size that its patches tile: its positions are
            resized.
        layer: Number of the block, or a list of numbers. Negative numbers count from
            the last block.
        batch_size: Number of images that are computed at a time.
        token: The token that attends: 0 for the class token, from 1 the
            patches, row by row. None for the attention of every token to every
            token.

    Returns:
        Array of shape `(n, heads, rows, columns)`, with one value >= 0 for each
        patch. The values and the attention to the class token and registers sum to 1. With
        `token=None`, an array of shape `(n, heads, tokens, tokens)`, whose rows
        sum to 1. For a list of layers, a list of such arrays. For CBSA, the
        values are those of `A^T A` (see `layers.CBSA`), as its authors draw
        them, and do not sum to 1.

    Raises:
        ValueError: If the model has no such block or token, the block has no
            attention, or the model cannot take the images.

    Example:

    ```python
    maps = keras_crate.interpret.attention_maps(model, images)
    maps[0].mean(axis=0)  # the first image, mean of all heads
    ```
    """
    model = model_for(model, images)
    several = isinstance(layer, Iterable)
    scores = _scores(model, images, chosen_blocks(model, layer if several else [layer]), batch_size)
    if token is not None:
        rows, columns = model.get_layer("token_embedding").grid
        if token not in range(1 + rows * columns):
            raise ValueError(
                f"`token` must be from 0, the class token, to {rows * columns}, or None. "
                f"Received: token={token!r}"
            )
        # Registers stand between the class token and the patches.
        prefix = prefix_tokens_of(model)
        row = 0 if token == 0 else token + prefix - 1
        scores = [s[:, :, row, prefix:].reshape(*s.shape[:2], rows, columns) for s in scores]
    return scores if several else scores[0]


@names_arguments
def rollout(model: keras.Model, images, batch_size: int = 32) -> np.ndarray:
    """Returns how much each patch contributes to the class token through all blocks.

    The attention of each block is averaged over the heads, divided so that rows
    sum to 1, and averaged with the identity, for the skip connection. The
    matrices of all blocks are multiplied, from the first to the last.

    Args:
        model: As in `attention_maps`.
        images: As in `attention_maps`.
        batch_size: Number of images that are computed at a time.

    Returns:
        Array of shape `(n, rows, columns)`, >= 0.

    Raises:
        ValueError: If a block has no attention, or the model cannot take the
            images.

    Example:

    ```python
    heat = keras_crate.interpret.rollout(model, images)
    ```

    Reference:
        Abnar and Zuidema, "Quantifying Attention Flow in Transformers",
        arXiv:2005.00928.
    """
    model = model_for(model, images)
    scores = _scores(model, images, chosen_blocks(model, None), batch_size)
    identity = np.eye(scores[0].shape[-1])
    flow = identity
    for of_block in scores:
        mean = of_block.mean(axis=1, dtype="float64")
        mean /= mean.sum(axis=-1, keepdims=True)  # the rows of CBSA do not sum to 1
        flow = (0.5 * mean + 0.5 * identity) @ flow
    rows, columns = model.get_layer("token_embedding").grid
    return flow[:, 0, prefix_tokens_of(model) :].reshape(-1, rows, columns).astype("float32")


def gives_scores(compress: keras.layers.Layer) -> bool:
    """Whether a layer can return attention scores, as MSSA does."""
    return "return_attention_scores" in inspect.signature(compress.call).parameters


def _scores(model, images, blocks, batch_size) -> list[np.ndarray]:
    """Attention weights of each block, `(n, heads, tokens, tokens)`."""
    for block in blocks:
        if not gives_scores(block.compress):
            raise ValueError(
                "Attention maps need a layer that takes `return_attention_scores`, as MSSA does. "
                f"Received: block {block.number}, whose {block.compress.name!r} is "
                f"{type(block.compress).__name__} and does not."
            )
    # The outputs are computed so that `Inside` finds weights that are not finite.
    inside = Inside(model, [[b.compress.input, b.compress.output] for b in blocks])
    scores = [[] for _ in blocks]
    for values in inside(images, batch_size):
        for found, block, (tokens, _) in zip(scores, blocks, values, strict=True):
            tokens = keras.ops.convert_to_tensor(tokens)
            _, weights = block.compress(tokens, return_attention_scores=True)
            found.append(keras.ops.convert_to_numpy(weights).astype("float32"))
    return [np.concatenate(found) for found in scores]
