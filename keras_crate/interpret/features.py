"""The patches' features at a block, laid out as the patches are in the image."""

import keras
import numpy as np

from keras_crate.interpret.probe import for_images
from keras_crate.models.blocks import chosen_blocks
from keras_crate.models.inside import Inside


def patch_features(
    model: keras.Model, images, layer: int, what: str, batch_size: int
) -> np.ndarray:
    """Features of the patches at one block, `(n, rows, columns, d)` in float32.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        images: Array of shape `(n, height, width, channels)`.
        layer: Number of the block.
        what: `"tokens"`, which the block gives out, or `"keys"`: the tokens'
            coordinates in the block's subspaces, which are query, key and
            value of its attention.
        batch_size: Images at a time.

    Raises:
        ValueError: If the model has no such block, cannot take the images, the
            block's attention has no keys, or `what` is neither.
    """
    if what not in ("tokens", "keys"):
        raise ValueError(f'`what` must be "tokens" or "keys". Received: what={what!r}')
    model = for_images(model, images)
    (block,) = chosen_blocks(model, [layer])
    if what == "keys" and not hasattr(block.compress, "coordinates"):
        raise ValueError(
            f"{block.compress.name!r} has no keys: give {type(block.compress).__name__} a method "
            "`coordinates(inputs)`, as `SubspaceLayer` has, or pass what='tokens'."
        )
    inside = Inside(model, [block.output if what == "tokens" else block.compress.input])
    found = []
    for (tokens,) in inside(images, batch_size):
        if what == "keys":
            tokens = block.compress.coordinates(keras.ops.convert_to_tensor(tokens))
            tokens = keras.ops.convert_to_numpy(tokens).astype("float32")
            tokens = tokens.transpose(0, 2, 1, 3).reshape(*tokens.shape[::2], -1)
        found.append(tokens[:, 1:])
    rows, columns = model.get_layer("token_embedding").grid
    features = np.concatenate(found)
    return features.reshape(len(features), rows, columns, -1)
