"""The tokens inside a model."""

import keras
import numpy as np

from keras_crate.interpret.probe import for_images
from keras_crate.models.blocks import chosen_blocks
from keras_crate.models.inside import Inside


def intermediates(
    model: keras.Model, images, layers=None, what: str = "tokens", batch_size: int = 32
) -> list[np.ndarray]:
    """Tokens after the blocks of a model.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        images: Array of shape `(n, height, width, channels)`. Of another size
            than the model's, its positions are resized for them.
        layers: Numbers of the blocks, of which negative ones count from the
            last; all by default.
        what: `"tokens"` for all tokens, class token first, or `"map"` for the
            patches' alone, laid out as the patches are in the image.
        batch_size: Images at a time.

    Returns:
        A float32 array for each block, of shape `(n, tokens, d)`, or
        `(n, rows, columns, d)`.

    Raises:
        ValueError: If the model has no such block, cannot take the images, or
            `what` is neither.

    Example:

    ```python
    first, last = keras_crate.interpret.intermediates(model, images, [0, -1], what="map")
    ```
    """
    if what not in ("tokens", "map"):
        raise ValueError(f'`what` must be "tokens" or "map". Received: what={what!r}')
    model = for_images(model, images)
    blocks = chosen_blocks(model, layers)
    outputs_of_blocks = [block.output for block in blocks]
    found = [[] for _ in blocks]
    for outputs in Inside(model, outputs_of_blocks)(images, batch_size):
        for tokens, output in zip(found, outputs, strict=True):
            tokens.append(output)
    arrays = [np.concatenate(tokens) for tokens in found]
    if what == "tokens":
        return arrays
    rows, columns = model.get_layer("token_embedding").grid
    return [tokens[:, 1:].reshape(len(tokens), rows, columns, -1) for tokens in arrays]
