"""Figures of a model's inside: one row per image, with the results beside it."""

import keras
import numpy as np

from keras_crate.checks import names_arguments
from keras_crate.figure import draw_rows, mark_untrained
from keras_crate.interpret.attention import attention_maps
from keras_crate.interpret.pca import TokenPCA, pca_colours
from keras_crate.models.model_view import ModelView
from keras_crate.models.untrained import is_untrained
from keras_crate.models.view_of import view_of


@names_arguments
def head_atlas(model: keras.Model | ModelView, images, layer: int = -1, batch_size: int = 32):
    """Draws the attention of each head: a row per image, a column per head.

    Args:
        model: As in `attention_maps`.
        images: As in `attention_maps`. Each is a row of the figure.
        layer: Number of the block. Negative numbers count from the last block.
        batch_size: Number of images that are computed at a time.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Raises:
        ValueError: As in `attention_maps`.

    Example:

    ```python
    keras_crate.interpret.head_atlas(model, images).savefig("heads.png", dpi=200)
    ```
    """
    view = view_of(model, images)
    figure = plot_attention_maps(images, attention_maps(view, images, layer, batch_size))
    if is_untrained(view.model):
        mark_untrained(figure)
    return figure


@names_arguments
def plot_attention_maps(images, maps):
    """Draws attention maps beside their images, a column per head.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        maps: Result of `attention_maps` for them. Each map has its own scale of
            colours, from 0 to its maximum.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Raises:
        ValueError: If there are not as many maps as images.

    Example:

    ```python
    maps = keras_crate.interpret.attention_maps(model, images)
    figure = keras_crate.interpret.plot_attention_maps(images, maps)
    ```
    """
    columns = {f"head {k}": {"cmap": "magma", "vmin": 0} for k in range(np.shape(maps)[1])}
    return draw_rows(images, [list(of_image) for of_image in maps], columns)


@names_arguments
def plot_rollout(images, heat):
    """Draws attention rollout over its images.

    Args:
        images: As in `plot_attention_maps`.
        heat: Result of `rollout` for them.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Example:

    ```python
    heat = keras_crate.interpret.rollout(model, images)
    figure = keras_crate.interpret.plot_rollout(images, heat)
    ```
    """
    columns = {"attention rollout": {"cmap": "magma", "vmin": 0, "overlay": 0.7}}
    return draw_rows(images, [[of_image] for of_image in heat], columns)


@names_arguments
def plot_token_pca(images, found: TokenPCA):
    """Draws the patches' principal components beside their images.

    Args:
        images: As in `plot_attention_maps`.
        found: Result of `token_pca` for them.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Example:

    ```python
    found = keras_crate.interpret.token_pca(model, images)
    figure = keras_crate.interpret.plot_token_pca(images, found)
    ```
    """
    return found.plot(images, most=None)


@names_arguments
def plot_segments(images, labels, masks=None):
    """Draws objects over their images.

    Args:
        images: As in `plot_attention_maps`.
        labels: Result of `segment` for them.
        masks: True masks of any resolution, `(n, rows, columns)`, to draw in
            another column.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Example:

    ```python
    labels = keras_crate.interpret.segment(model, images)
    figure = keras_crate.interpret.plot_segments(images, labels)
    ```
    """
    parts = {"objects": labels} if masks is None else {"objects": labels, "true mask": masks}
    pictures = [
        [np.ma.masked_equal(np.asarray(part, int), 0) for part in of_image]
        for of_image in zip(*parts.values(), strict=True)
    ]
    style = {"cmap": "Set1", "vmin": 1, "vmax": 9, "overlay": 0.6}
    return draw_rows(images, pictures, dict.fromkeys(parts, style))


@names_arguments
def plot_intermediates(images, maps):
    """Draws three principal components of the patches' features at each block, as colours.

    The components are fitted for each block separately, over all images
    together.

    Args:
        images: As in `plot_attention_maps`.
        maps: Result of `intermediates(..., what="map")` for them.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib and scikit-learn.

    Raises:
        ValueError: If there are not as many maps as images, or they are not
            maps.

    Example:

    ```python
    maps = keras_crate.interpret.intermediates(model, images, what="map")
    figure = keras_crate.interpret.plot_intermediates(images, maps)
    ```
    """
    if any(np.ndim(of_block) != 4 for of_block in maps):
        raise ValueError(
            '`maps` must be the result of `intermediates(..., what="map")`: an array '
            f"(n, rows, columns, d) per block. Received: {[np.shape(m) for m in maps]}"
        )
    coloured = [pca_colours(m, np.ones(m.shape[:3], bool))[0] for m in maps]
    columns = {f"map {k}": {} for k in range(len(maps))}
    return draw_rows(images, list(zip(*coloured, strict=True)), columns)
