"""The tokens inside a model."""

import keras
import numpy as np

from keras_crate.interpret.probe import for_images
from keras_crate.models.blocks import chosen_blocks
from keras_crate.models.inside import Inside

KINDS = ("tokens", "map", "keys")


def intermediates(
    model: keras.Model, images, layers=None, what: str = "tokens", batch_size: int = 32
) -> list[np.ndarray]:
    """Tokens, or keys, of the blocks of a model.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        images: Array of shape `(n, height, width, channels)`. A model of the
            package takes other sizes too: its positions are resized.
        layers: Numbers of the blocks, of which negative ones count from the
            last; all by default.
        what: `"tokens"` for all tokens after a block, class token first;
            `"map"` for the patches' alone, laid out as the patches are in the
            image; `"keys"` for a map of the patches' keys in the block's
            attention, which in CRATE are their coordinates in its subspaces,
            head after head, and serve as query, key and value.
        batch_size: Images at a time.

    Returns:
        A float32 array for each block, of shape `(n, tokens, d)`, or
        `(n, rows, columns, d)`.

    Raises:
        ValueError: If the model has no such block, cannot take the images, the
            block's attention has no keys, or `what` is none of the three.

    Example:

    ```python
    first, last = keras_crate.interpret.intermediates(model, images, [0, -1], what="map")
    ```
    """
    if what not in KINDS:
        raise ValueError(f"`what` must be one of {KINDS}. Received: what={what!r}")
    model = for_images(model, images)
    blocks = chosen_blocks(model, layers)
    if what != "keys":
        tensors = [block.output for block in blocks]
    else:
        for block in blocks:
            _check_keys(block.compress)
        # What the layers give out is read too: it tells weights that are not finite.
        tensors = [b.compress.input for b in blocks] + [b.compress.output for b in blocks]
    inside = Inside(model, tensors)
    found = [[] for _ in blocks]
    for outputs in inside(images, batch_size):
        for block, of_block, tokens in zip(blocks, found, outputs[: len(blocks)], strict=True):
            of_block.append(_keys(block.compress, tokens) if what == "keys" else tokens)
    arrays = [np.concatenate(of_block) for of_block in found]
    if what == "tokens":
        return arrays
    rows, columns = model.get_layer("token_embedding").grid
    return [array[:, 1:].reshape(len(array), rows, columns, -1) for array in arrays]


def patch_features(model, images, layer: int, what: str, batch_size: int) -> np.ndarray:
    """Map of the patches' `"tokens"` or `"keys"` at one block."""
    if what not in ("tokens", "keys"):
        raise ValueError(f'`what` must be "tokens" or "keys". Received: what={what!r}')
    what = "map" if what == "tokens" else what
    (features,) = intermediates(model, images, [layer], what, batch_size)
    return features


def _keys(compress: keras.layers.Layer, tokens: np.ndarray) -> np.ndarray:
    """Keys of all heads beside each other, `(batch, tokens, d)`."""
    keys = compress.coordinates(keras.ops.convert_to_tensor(tokens))
    keys = keras.ops.convert_to_numpy(keys).astype("float32")  # (batch, heads, tokens, p)
    return keys.transpose(0, 2, 1, 3).reshape(*tokens.shape[:2], -1)


def _check_keys(compress: keras.layers.Layer) -> None:
    if not hasattr(compress, "coordinates"):
        raise ValueError(
            f"{compress.name!r} has no keys: give {type(compress).__name__} a method "
            "`coordinates(inputs)`, as `SubspaceLayer` has, or look at its tokens."
        )
