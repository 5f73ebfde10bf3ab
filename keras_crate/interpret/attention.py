"""The attention of the heads."""

import inspect
from collections.abc import Iterable

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.interpret.intermediates import made_of_inputs
from keras_crate.models.model_view import ModelView
from keras_crate.models.view_of import view_of


@names_arguments
def attention_maps(
    model: keras.Model | ModelView,
    images,
    layer: int | list[int] = -1,
    batch_size: int = 32,
    token: int | None = 0,
) -> np.ndarray | list[np.ndarray]:
    """Returns the attention of one token to the patches, for each head.

    Args:
        model: As in `intermediates`.
        images: As in `intermediates`.
        layer: Number of the block, or a list of numbers. Negative numbers count from
            the last block.
        batch_size: Number of images that are computed at a time.
        token: Index of the token that attends. 0 is the class token. Distillation
            and register tokens follow, if the model has them, and then the
            patches, row by row. In a model without a class token, 0 is the
            first patch. None means the attention of every token to every token.

    Returns:
        Array of shape `(n, heads, rows, columns)`, with one value >= 0 for each
        patch. The values and the attention to all other tokens sum to 1. With
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
    view = view_of(model, images)
    several = isinstance(layer, Iterable)
    scores = _scores(view, images, layer if several else [layer], batch_size)
    if token is not None:
        tokens = scores[0].shape[-1]
        if token not in range(tokens):
            first = " (the class token)" if view.prefix_tokens else ""
            raise ValueError(
                f"`token` must be from 0{first} to {tokens - 1}, or None. Received: token={token!r}"
            )
        scores = [
            s[:, :, token, view.prefix_tokens :].reshape(*s.shape[:2], *view.grid) for s in scores
        ]
    return scores if several else scores[0]


@names_arguments
def rollout(model: keras.Model | ModelView, images, batch_size: int = 32) -> np.ndarray:
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
        ValueError: If a block has no attention, or the model has no class token
            or cannot take the images.

    Example:

    ```python
    heat = keras_crate.interpret.rollout(model, images)
    ```

    Reference:
        Abnar and Zuidema, "Quantifying Attention Flow in Transformers",
        arXiv:2005.00928.
    """
    view = view_of(model, images)
    if not view.prefix_tokens:
        raise ValueError(
            "Rollout needs a class token. Received: a model without it. Use `attention_maps`."
        )
    scores = _scores(view, images, None, batch_size)
    identity = np.eye(scores[0].shape[-1])
    flow = identity
    for of_block in scores:
        mean = of_block.mean(axis=1, dtype="float64")
        mean /= mean.sum(axis=-1, keepdims=True)  # the rows of CBSA do not sum to 1
        flow = (0.5 * mean + 0.5 * identity) @ flow
    return view.as_map(flow[:, 0]).astype("float32")


def gives_scores(attention: keras.layers.Layer) -> bool:
    """Whether a layer can return attention scores, as MSSA does."""
    return "return_attention_scores" in inspect.signature(attention.call).parameters


def _scores(view: ModelView, images, layers, batch_size) -> list[np.ndarray]:
    """Attention weights of each block, `(n, heads, tokens, tokens)`."""
    blocks = view.chosen(layers)
    for number, block in blocks:
        if not gives_scores(block.attention):
            raise ValueError(
                "Attention maps need a layer that takes `return_attention_scores`, as MSSA does. "
                f"Received: block {number}, whose {block.attention.name!r} is "
                f"{type(block.attention).__name__} and does not."
            )
    return made_of_inputs(
        view,
        [block for _, block in blocks],
        images,
        batch_size,
        lambda attention, tokens: attention(tokens, return_attention_scores=True)[1],
    )
