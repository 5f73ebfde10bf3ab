"""What the heads look at."""

import keras
import numpy as np

from keras_crate.layers import MSSA
from keras_crate.models.blocks import check_measurable, white_box_blocks


def attention_maps(model: keras.Model, images, layer: int = -1, batch_size: int = 32) -> np.ndarray:
    """Attention of the class token to the patches, head by head.

    Args:
        model: A CRATE, or any functional model with its blocks' layers.
        images: Array of shape `(n, *input_shape)`.
        layer: Number of the block; negative numbers count from the last.
        batch_size: Images at a time.

    Returns:
        Array of shape `(n, heads, rows, columns)`, one value a patch, >= 0;
        with the class token's attention to itself they sum to 1.

    Raises:
        ValueError: If the model has no such block, the block has no attention, or
            the model cannot take the images.

    Example:

    ```python
    maps = keras_crate.interpret.attention_maps(model, images)
    maps[0].mean(axis=0)  # the first image, all heads
    ```
    """
    blocks = white_box_blocks(model)
    check_measurable(model, images)
    if not -len(blocks) <= layer < len(blocks):
        raise ValueError(
            f"`layer` must be a block of the model, from {-len(blocks)} to {len(blocks) - 1}. "
            f"Received: layer={layer}"
        )
    mssa = blocks[layer].compress
    if not isinstance(mssa, MSSA):
        raise ValueError(
            f"Attention maps are of blocks that compress by MSSA. Received: layer={layer}, whose "
            f"{mssa.name!r} is {type(mssa).__name__} and attends to no tokens one by one."
        )
    rows, columns = model.get_layer("token_embedding").grid
    before = keras.Model(model.input, mssa.input)
    maps = []
    for start in range(0, len(images), batch_size):
        tokens = before.predict_on_batch(images[start : start + batch_size])
        _, scores = mssa(keras.ops.convert_to_tensor(tokens), return_attention_scores=True)
        scores = keras.ops.convert_to_numpy(scores[:, :, 0, 1:]).astype("float32")
        maps.append(scores.reshape(*scores.shape[:2], rows, columns))
    return np.concatenate(maps)
