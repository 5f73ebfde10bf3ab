"""The tokens and keys inside a model."""

import keras
import numpy as np

from keras_crate.checks import check_choice, names_arguments
from keras_crate.models.blocks import chosen_blocks, prefix_tokens_of
from keras_crate.models.inside import Inside
from keras_crate.models.white_box import WhiteBoxModel


@names_arguments
def intermediates(
    model: keras.Model, images, layers=None, what: str = "tokens", batch_size: int = 32
) -> list[np.ndarray]:
    """Returns the tokens, or keys, of the blocks of a model.

    Args:
        model: A model of the package, or any functional model with the layers
            of its blocks.
        images: Array of shape `(n, height, width, channels)`. A model of the
            package takes any size that its patches tile: its positions are
            resized.
        layers: List of numbers of blocks. Negative numbers count from the last.
            By default all.
        what: `"tokens"` for all tokens after a block, class token and registers first;
            `"map"` for the patches' tokens, arranged as in the image; `"keys"`
            for a map of the patches' keys, with the heads concatenated. In
            CRATE the keys are the coordinates in the block's subspaces, which
            are also the queries and values.
        batch_size: Number of images that are computed at a time.

    Returns:
        A float32 array for each block, of shape `(n, tokens, d)`, or
        `(n, rows, columns, d)`.

    Raises:
        ValueError: If the model has no such block or cannot take the images,
            the block has no keys, or `what` is not one of these.

    Example:

    ```python
    first, last = keras_crate.interpret.intermediates(model, images, [0, -1], what="map")
    ```
    """
    check_choice("what", what, ("tokens", "map", "keys"))
    model = model_for(model, images)
    blocks = chosen_blocks(model, layers)
    if what == "keys":
        for block in blocks:
            _check_keys(block.compress)
        # The outputs are computed so that `Inside` finds weights that are not finite.
        tensors = [[b.compress.input, b.compress.output] for b in blocks]
    else:
        tensors = [[block.output] for block in blocks]
    found = [[] for _ in blocks]
    for values in Inside(model, tensors)(images, batch_size):
        for block, of_block, (tokens, *_) in zip(blocks, found, values, strict=True):
            of_block.append(_keys(block.compress, tokens) if what == "keys" else tokens)
    arrays = [np.concatenate(of_block) for of_block in found]
    if what == "tokens":
        return arrays
    rows, columns = model.get_layer("token_embedding").grid
    prefix = prefix_tokens_of(model)
    return [array[:, prefix:].reshape(len(array), rows, columns, -1) for array in arrays]


def patch_features(model, images, layer: int, what: str, batch_size: int) -> np.ndarray:
    """Returns a map of the patches' `"tokens"` or `"keys"` at one block."""
    check_choice("what", what, ("tokens", "keys"))
    what = "map" if what == "tokens" else what
    (features,) = intermediates(model, images, [layer], what, batch_size)
    return features


def model_for(model: keras.Model, images) -> keras.Model:
    """Returns the model, or a copy of it for images of another height and width."""
    shape = tuple(getattr(images, "shape", ()))[1:]
    if not isinstance(model, WhiteBoxModel) or len(shape) != 3:
        return model
    return model if shape == model.inputs[0].shape[1:] else model.with_input_shape(shape)


def _keys(compress: keras.layers.Layer, tokens: np.ndarray) -> np.ndarray:
    """Returns the keys of all heads, concatenated, `(batch, tokens, d)`."""
    keys = compress.coordinates(keras.ops.convert_to_tensor(tokens))
    keys = keras.ops.convert_to_numpy(keys).astype("float32")  # (batch, heads, tokens, p)
    return keys.transpose(0, 2, 1, 3).reshape(*tokens.shape[:2], -1)


def _check_keys(compress: keras.layers.Layer) -> None:
    if not hasattr(compress, "coordinates"):
        raise ValueError(
            f"{compress.name!r} has no keys. Give {type(compress).__name__} a method "
            "`coordinates(inputs)`, as `SubspaceLayer` has, or use its tokens."
        )
