"""Figures of a model's inside: one row per image, with the results beside it."""

import keras
import numpy as np

from keras_crate.figure import new_figure
from keras_crate.interpret.attention import attention_maps
from keras_crate.interpret.pca import TokenPCA, pca_colours

_CELL = 1.3  # inches


def head_atlas(model: keras.Model, images, layer: int = -1, batch_size: int = 32):
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
    return plot_attention_maps(images, attention_maps(model, images, layer, batch_size))


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
    return _beside(images, [list(of_image) for of_image in maps], columns)


def plot_rollout(images, heat):
    """Draws attention rollout over its images.

    Args:
        images: As in `plot_attention_maps`.
        heat: Result of `rollout` for them.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Raises:
        ValueError: If there are not as many maps as images.

    Example:

    ```python
    heat = keras_crate.interpret.rollout(model, images)
    figure = keras_crate.interpret.plot_rollout(images, heat)
    ```
    """
    columns = {"attention rollout": {"cmap": "magma", "vmin": 0, "overlay": 0.7}}
    return _beside(images, [[of_image] for of_image in heat], columns)


def plot_token_pca(images, found: TokenPCA):
    """Draws the patches' principal components beside their images.

    Args:
        images: As in `plot_attention_maps`.
        found: Result of `token_pca` for them.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Raises:
        ValueError: If there are not as many maps as images.

    Example:

    ```python
    found = keras_crate.interpret.token_pca(model, images)
    figure = keras_crate.interpret.plot_token_pca(images, found)
    ```
    """
    limit = max(np.abs(found.first_component).max(), 1e-12)
    columns = {
        "first component": {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit},
        "three as RGB": {},
    }
    return _beside(images, list(zip(found.first_component, found.rgb, strict=True)), columns)


def plot_segments(images, labels, masks=None):
    """Draws objects over their images.

    Args:
        images: As in `plot_attention_maps`.
        labels: Result of `segment` for them.
        masks: True masks of any resolution, `(n, rows, columns)`, to draw in
            another column.

    Returns:
        A `matplotlib.figure.Figure`. Needs matplotlib.

    Raises:
        ValueError: If there are not as many maps as images.

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
    return _beside(images, pictures, dict.fromkeys(parts, style))


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
    return _beside(images, list(zip(*coloured, strict=True)), columns)


def _beside(images, pictures: list[list[np.ndarray]], columns: dict[str, dict]):
    """Draws a row per image: the image, then its pictures.

    Args:
        images: The images.
        pictures: For each image, a picture for each column.
        columns: Arguments of `imshow` by the title of the column. `overlay` is
            the opacity of a picture that is drawn over the image.
    """
    images = displayable(images)
    if len(images) != len(pictures):
        raise ValueError(
            f"There must be one map per image. Received: {len(images)} images, {len(pictures)} maps"
        )
    height, width = images.shape[1:3]
    figure = new_figure(_CELL * (1 + len(columns)), _CELL * len(images) * height / width + 0.3)
    axes = figure.subplots(len(images), 1 + len(columns), squeeze=False)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
    for row, image, of_image in zip(axes, images, pictures, strict=True):
        row[0].imshow(image, **grey)
        for ax, picture, style in zip(row[1:], of_image, columns.values(), strict=True):
            style = {"interpolation": "nearest", "extent": extent, **style}
            if "overlay" in style:
                ax.imshow(image, **grey)
                style["alpha"] = style.pop("overlay")
            ax.imshow(picture, **style)
    for ax, title in zip(axes[0], ["image", *columns], strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure


def displayable(images) -> np.ndarray:
    """Returns images for matplotlib: channels last in [0, 1], grey ones without channels."""
    images = np.asarray(keras.ops.convert_to_numpy(images), "float32")
    if images.ndim != 4:
        raise ValueError(
            f"`images` must have shape (n, height, width, channels). Received: shape {images.shape}"
        )
    if images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3):  # channels first
        images = np.moveaxis(images, 1, -1)
    if images.max() > 1:
        images = images / 255
    images = images.clip(0, 1)
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]
