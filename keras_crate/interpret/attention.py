"""What the heads look at."""

import inspect
import numbers

import keras
import numpy as np

from keras_crate.interpret.probe import for_images
from keras_crate.models.blocks import chosen_blocks
from keras_crate.models.inside import Inside


def attention_maps(
    model: keras.Model,
    images,
    layer: int | list[int] = -1,
    batch_size: int = 32,
    token: int | None = 0,
) -> np.ndarray | list[np.ndarray]:
    """Attention of one token to the patches, head by head.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        images: Array of shape `(n, height, width, channels)`. A model of the
            package takes other sizes too: its positions are resized.
        layer: Number of the block; negative numbers count from the last. Or a
            list of them, which the images pass through once.
        batch_size: Images at a time.
        token: Whose attention: 0 for the class token, from 1 on the patches,
            row by row; None for the attention of every token to every token.

    Returns:
        Array of shape `(n, heads, rows, columns)`, one value a patch, >= 0;
        with the attention to the class token they sum to 1. With `token=None`,
        of shape `(n, heads, tokens, tokens)`, whose rows sum to 1. For a list
        of layers, a list of such arrays.

    Raises:
        ValueError: If the model has no such block or token, the block has no
            attention, or the model cannot take the images.

    Example:

    ```python
    maps = keras_crate.interpret.attention_maps(model, images)
    maps[0].mean(axis=0)  # the first image, all heads
    ```
    """
    model = for_images(model, images)
    several = hasattr(layer, "__iter__") and not isinstance(layer, str)
    blocks = chosen_blocks(model, layer if several else [layer])
    scores = _scores(model, images, blocks, batch_size)
    if token is not None:
        rows, columns = model.get_layer("token_embedding").grid
        if not isinstance(token, numbers.Integral) or not 0 <= token <= rows * columns:
            raise ValueError(
                f"`token` must be from 0, the class token, to {rows * columns}, or None. "
                f"Received: token={token!r}"
            )
        scores = [s[:, :, token, 1:].reshape(*s.shape[:2], rows, columns) for s in scores]
    return scores if several else scores[0]


def rollout(model: keras.Model, images, batch_size: int = 32) -> np.ndarray:
    """How much each patch reaches the class token through all blocks.

    The blocks' attention, averaged over heads and with the skip connection
    (half of it the identity), multiplied from the first block to the last.

    Args:
        model: As in `attention_maps`.
        images: As in `attention_maps`.
        batch_size: Images at a time.

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
    model = for_images(model, images)
    scores = _scores(model, images, chosen_blocks(model, None), batch_size)
    flow = np.eye(scores[0].shape[-1])
    for of_block in scores:
        flow = (0.5 * of_block.mean(axis=1, dtype="float64") + 0.5 * np.eye(len(flow[0]))) @ flow
    rows, columns = model.get_layer("token_embedding").grid
    return flow[:, 0, 1:].reshape(-1, rows, columns).astype("float32")


def gives_scores(compress: keras.layers.Layer) -> bool:
    """Whether a layer attends to tokens one by one, and tells its attention scores."""
    return "return_attention_scores" in inspect.signature(compress.call).parameters


def _scores(model, images, blocks, batch_size) -> list[np.ndarray]:
    """Attention weights of each block, `(n, heads, tokens, tokens)`."""
    for block in blocks:
        if not gives_scores(block.compress):
            raise ValueError(
                "Attention maps are of blocks that attend to tokens one by one, whose layer takes "
                f"`return_attention_scores`, as MSSA does. Received: block {block.number}, whose "
                f"{block.compress.name!r} is {type(block.compress).__name__} and does not."
            )
    inputs = [block.compress.input for block in blocks]
    # What the layers give out is read too: it tells weights that are not finite.
    inside = Inside(model, inputs + [block.compress.output for block in blocks])
    scores = [[] for _ in blocks]
    for values in inside(images, batch_size):
        for found, block, z in zip(scores, blocks, values[: len(blocks)], strict=True):
            z = keras.ops.convert_to_tensor(z)
            _, weights = block.compress(z, return_attention_scores=True)
            found.append(keras.ops.convert_to_numpy(weights).astype("float32"))
    return [np.concatenate(found) for found in scores]
