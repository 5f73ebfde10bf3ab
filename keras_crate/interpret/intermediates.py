"""The tokens and keys inside a model."""

import keras
import numpy as np

from keras_crate.checks import check_choice, names_arguments
from keras_crate.models.inside import Inside
from keras_crate.models.model_view import ModelView
from keras_crate.models.view_of import view_of


@names_arguments
def intermediates(
    model: keras.Model | ModelView,
    images,
    layers=None,
    what: str = "tokens",
    batch_size: int = 32,
) -> list[np.ndarray]:
    """Returns the tokens, or keys, of the blocks of a model.

    Args:
        model: A model of the package, or any functional model with the layers
            of its blocks; KerasHub's `ViTBackbone`, `DeiTBackbone` or
            `DINOV2Backbone`, or a classifier built on one; or a `ModelView`
            of any other ViT.
        images: Array of shape `(n, height, width, channels)`. A model of the
            package takes any size that its patches tile: its positions are
            resized. KerasHub's classifiers prepare the images with their
            preprocessor, as in `predict`. KerasHub's backbones take prepared
            images.
        layers: List of numbers of blocks. Negative numbers count from the last.
            By default all.
        what: `"tokens"` for all tokens after a block, class token and registers first;
            `"map"` for the patches' tokens, arranged as in the image; `"keys"`
            for a map of the patches' keys, with the heads concatenated. In
            CRATE the keys are the coordinates in the block's subspaces, which
            are also the queries and values. Maps exclude class, distillation and
            register tokens.
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
    view = view_of(model, images)
    blocks = [block for _, block in view.chosen(layers)]
    if what == "keys":
        for block in blocks:
            _check_keys(block.attention)
        arrays = made_of_inputs(view, blocks, images, batch_size, _keys)
    else:
        batches = list(Inside(view, [block.output for block in blocks])(images, batch_size))
        arrays = [np.concatenate(of_block) for of_block in zip(*batches, strict=True)]
    return arrays if what == "tokens" else [view.as_map(array) for array in arrays]


def made_of_inputs(view: ModelView, blocks, images, batch_size: int, make) -> list[np.ndarray]:
    """Returns for each block what `make` makes of its attention and the attention's input."""
    # The half-steps are computed so that `Inside` finds weights that are not finite.
    inside = Inside(view, [[block.inputs, block.half_step] for block in blocks])
    made = [[] for _ in blocks]
    for values in inside(images, batch_size):
        for block, of_block, (tokens, _) in zip(blocks, made, values, strict=True):
            found = make(block.attention, keras.ops.convert_to_tensor(tokens))
            of_block.append(keras.ops.convert_to_numpy(found).astype("float32"))
    return [np.concatenate(of_block) for of_block in made]


def patch_features(model, images, layer: int, what: str, batch_size: int) -> np.ndarray:
    """Returns a map of the patches' `"tokens"` or `"keys"` at one block."""
    check_choice("what", what, ("tokens", "keys"))
    what = "map" if what == "tokens" else what
    (features,) = intermediates(model, images, [layer], what, batch_size)
    return features


def _keys(attention, tokens):
    """Returns the keys of all heads, concatenated, `(batch, tokens, d)`."""
    keys = keras.ops.transpose(attention.coordinates(tokens), (0, 2, 1, 3))
    return keras.ops.reshape(keys, (*keys.shape[:2], -1))


def _check_keys(attention) -> None:
    if not hasattr(attention, "coordinates"):
        raise ValueError(
            f"{attention.name!r} has no keys. Give {type(attention).__name__} a method "
            "`coordinates(inputs)`, as `SubspaceLayer` has, or use its tokens."
        )
