"""Figures of what a model sees: images in rows, what was found beside them."""

import keras
import numpy as np

from keras_crate.figure import new_figure
from keras_crate.interpret.attention import attention_maps
from keras_crate.interpret.pca import TokenPCA, pca_colours

_CELL = 1.3  # inches


def head_atlas(model: keras.Model, images, layer: int = -1, batch_size: int = 32):
    """Draws what each head attends to: a row an image, a column a head.

    Args:
        model: As in `attention_maps`.
        images: As in `attention_maps`; a few.
        layer: Number of the block; negative numbers count from the last.
        batch_size: Images at a time.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: As in `attention_maps`.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    keras_crate.interpret.head_atlas(model, images).savefig("heads.png", dpi=200)
    ```
    """
    return plot_attention_maps(images, attention_maps(model, images, layer, batch_size))


def plot_attention_maps(images, maps):
    """Draws attention maps beside their images, a column a head.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        maps: What `attention_maps` gave for them. Each map has its own scale
            of colours, from 0 to its maximum.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are not as many maps as images.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    maps = keras_crate.interpret.attention_maps(model, images)
    figure = keras_crate.interpret.plot_attention_maps(images, maps)
    ```
    """
    titles = [f"head {head}" for head in range(np.shape(maps)[1])]
    columns = [(title, {"cmap": "magma", "vmin": 0}) for title in titles]
    return _beside(images, [list(of_image) for of_image in maps], columns)


def plot_rollout(images, heat):
    """Draws attention rollout over its images.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        heat: What `rollout` gave for them.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are not as many maps as images.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    heat = keras_crate.interpret.rollout(model, images)
    figure = keras_crate.interpret.plot_rollout(images, heat)
    ```
    """
    column = ("attention rollout", {"cmap": "magma", "vmin": 0, "overlay": 0.7})
    return _beside(images, [[of_image] for of_image in heat], [column])


def plot_token_pca(images, found: TokenPCA):
    """Draws the patches' principal components beside their images.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        found: What `token_pca` gave for them.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are not as many maps as images.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    found = keras_crate.interpret.token_pca(model, images)
    figure = keras_crate.interpret.plot_token_pca(images, found)
    ```
    """
    limit = max(np.abs(found.first_component).max(), 1e-12)
    columns = [
        ("first component", {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
        ("three as RGB", {}),
    ]
    pictures = [list(pair) for pair in zip(found.first_component, found.rgb, strict=True)]
    return _beside(images, pictures, columns)


def plot_segments(images, labels, masks=None):
    """Draws the objects that were found over their images.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        labels: What `segment` gave for them.
        masks: True masks of any resolution, `(n, rows, columns)`, to stand
            beside.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are not as many maps as images.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    labels = keras_crate.interpret.segment(model, images)
    figure = keras_crate.interpret.plot_segments(images, labels)
    ```
    """
    style = {"cmap": "Set1", "vmin": 1, "vmax": 9, "overlay": 0.6}
    columns, parts = [("objects", style)], [labels]
    if masks is not None:
        columns.append(("true mask", style))
        parts.append(masks)
    pictures = [
        [np.ma.masked_equal(np.asarray(part, int), 0) for part in of_image]
        for of_image in zip(*parts, strict=True)
    ]
    return _beside(images, pictures, columns)


def plot_intermediates(images, maps):
    """Draws the patches' features block by block: three principal components as colours.

    The components are fitted for each block apart, over all images together.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255] or
            in [0, 1].
        maps: What `intermediates(..., what="map")` gave for them.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If the maps are not of these images, or not maps.
        ImportError: If matplotlib or scikit-learn is not installed.

    Example:

    ```python
    maps = keras_crate.interpret.intermediates(model, images, what="map")
    figure = keras_crate.interpret.plot_intermediates(images, maps)
    ```
    """
    if any(np.ndim(of_block) != 4 for of_block in maps):
        raise ValueError(
            '`maps` must be what `intermediates(..., what="map")` gives, one array '
            f"(n, rows, columns, d) a block. Received: {[np.shape(m) for m in maps]}"
        )
    coloured = [pca_colours(m, np.ones(m.shape[:3], bool))[0] for m in maps]
    columns = [(f"map {k}", {}) for k in range(len(maps))]
    return _beside(images, [list(of_image) for of_image in zip(*coloured, strict=True)], columns)


def _beside(images, pictures: list[list[np.ndarray]], columns: list[tuple[str, dict]]):
    """One row an image: the image, then its pictures, drawn as `columns` says."""
    images = displayable(images)
    if len(images) != len(pictures):
        raise ValueError(
            f"There must be one map an image. Received: {len(images)} images, {len(pictures)} maps"
        )
    height, width = images.shape[1:3]
    figure = new_figure(_CELL * (1 + len(columns)), _CELL * len(images) * height / width + 0.3)
    axes = figure.subplots(len(images), 1 + len(columns), squeeze=False)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
    for row, image, of_image in zip(axes, images, pictures, strict=True):
        row[0].imshow(image, **grey)
        for ax, picture, (_, style) in zip(row[1:], of_image, columns, strict=True):
            style = dict(style)
            overlay = style.pop("overlay", None)
            if overlay is not None:
                ax.imshow(image, **grey)
            ax.imshow(
                picture, extent=extent, interpolation="nearest", alpha=overlay or 1.0, **style
            )
    for ax, title in zip(axes[0], ["image", *(title for title, _ in columns)], strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure


def displayable(images) -> np.ndarray:
    """Images as matplotlib shows them: in [0, 1], grey ones without channels."""
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
