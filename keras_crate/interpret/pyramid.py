"""Maps of features for models that detect or segment."""

import keras

from keras_crate.layers import TokenMap
from keras_crate.models.blocks import check_whole, chosen_blocks


def feature_pyramid(
    model: keras.Model, layers=None, scales: list[float] | None = None
) -> keras.Model:
    """A model that gives out the patches' features of several blocks as maps.

    It shares the layers and weights of `model`, and is a backbone to put a
    detection or segmentation head on: gradients flow through it.

    Args:
        model: A model of the package, or any functional model with its blocks'
            layers.
        layers: Numbers of the blocks, of which negative ones count from the
            last; by default four, evenly spaced, the last among them.
        scales: A factor for the map of each block, by which rows and columns
            are multiplied: 1 leaves a map, 2 makes it finer, 0.5 coarser
            (bilinear, antialiased). For a pyramid of strides 4, 8, 16 and 32 of patches
            of 16 pixels: `[4, 2, 1, 0.5]`. By default all are 1.

    Returns:
        A functional model of the same input, whose output is a dictionary of
        maps `(batch, rows, columns, d)` by the blocks' names, `"block_0"` and
        so on.

    Raises:
        ValueError: If the model has no such block, or the scales do not fit.

    Example:

    ```python
    pyramid = keras_crate.interpret.feature_pyramid(model, layers=[0, 1], scales=[2, 1])
    maps = pyramid(images)
    maps["block_0"].shape, maps["block_1"].shape  # (2, 8, 8, 24), (2, 4, 4, 24)
    ```

    Reference:
        Li et al., "Exploring Plain Vision Transformer Backbones for Object
        Detection", arXiv:2203.16527, for a pyramid from one stride.
    """
    check_whole(model)
    depth = len(chosen_blocks(model, None))
    if layers is None:
        layers = sorted({-(-depth * part // 4) - 1 for part in (1, 2, 3, 4)})
    blocks = chosen_blocks(model, layers)
    scales = [1] * len(blocks) if scales is None else list(scales)
    if len(scales) != len(blocks):
        raise ValueError(
            f"`scales` must have one number a block. Received: scales={scales} for "
            f"{len(blocks)} blocks"
        )
    grid = model.get_layer("token_embedding").grid
    maps = {}
    for block, scale in zip(blocks, scales, strict=True):
        name = f"block_{block.number}"
        if name in maps:
            raise ValueError(f"`layers` must differ. Received: layers={list(layers)}")
        maps[name] = TokenMap(grid, scale, name=f"{name}_map")(block.output)
    return keras.Model(model.input, maps, name=f"{model.name}_pyramid")
