"""Feature maps for detection and segmentation."""

import keras

from keras_crate.checks import names_arguments
from keras_crate.layers import TokenMap
from keras_crate.models.blocks import check_whole
from keras_crate.models.model_view import ModelView
from keras_crate.models.view_of import view_of


@names_arguments
def feature_pyramid(
    model: keras.Model | ModelView, layers=None, scales: list[float] | None = None
) -> keras.Model:
    """Returns a model whose outputs are maps of the patches' features at several blocks.

    The pyramid shares the layers and weights of `model`. Gradients flow through
    it, so it can be the backbone of a detection or segmentation head. Its inputs
    are those of `model`. The pyramid of a KerasHub classifier takes prepared
    images. Keras cannot save the pyramid of a KerasHub model as a whole. Save its
    weights with `save_weights`.

    Args:
        model: As in `intermediates`.
        layers: List of numbers of blocks. Negative numbers count from the last.
            By default four, evenly spaced, up to the last.
        scales: Factors by which each block's map is resized (bilinear;
            antialiased if the factor is below 1). `[4, 2, 1, 0.5]` makes
            strides of 4, 8, 16 and 32 pixels from patches of 16 pixels. By
            default all are 1.

    Returns:
        A functional model of the same input, whose output is a dictionary of
        maps `(batch, rows, columns, d)` by the names `"block_0"` and so on.

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
    view = view_of(model)
    check_whole(view.model)
    if None in view.images.shape[1:]:
        raise ValueError(
            "`model` must take images of one size. Received: a model for images of any size. Pass "
            "`model.with_input_shape((height, width, channels))`."
        )
    depth = len(view.blocks)
    if layers is None:
        layers = sorted({-(-depth * part // 4) - 1 for part in (1, 2, 3, 4)})
    blocks = view.chosen(layers)
    scales = [1] * len(blocks) if scales is None else list(scales)
    names = [f"block_{number}" for number, _ in blocks]
    if len(scales) != len(blocks) or len(set(names)) < len(blocks):
        raise ValueError(
            "`layers` must be different blocks, and `scales` have one number for each. Received: "
            f"layers={list(layers)}, scales={scales}"
        )
    maps = {
        name: TokenMap(view.grid, scale, view.prefix_tokens, name=f"{name}_map")(block.output)
        for name, scale, (_, block) in zip(names, scales, blocks, strict=True)
    }
    return keras.Model(view.images, maps, name=f"{view.model.name}_pyramid")
