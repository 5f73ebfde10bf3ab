"""Figures of matplotlib: new ones, rows of images, and results that a notebook shows as figures."""

import dataclasses
import functools
import io

import keras
import numpy as np

from keras_crate.extras import needed

GREY = {"cmap": "gray", "vmin": 0, "vmax": 1}
_CELL = 1.3  # inches


def new_figure(width: float, height: float):
    """Returns an empty `matplotlib.figure.Figure` of this size in inches.

    A notebook shows it, also if matplotlib.pyplot was never imported.
    """
    with needed("matplotlib", "Figures need"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout="constrained")
    vars(figure)["_repr_png_"] = functools.partial(png_of, figure)
    return figure


def png_of(figure) -> bytes:
    """Returns a figure as a PNG file."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return written.getvalue()


def legend_beside(axes) -> None:
    """Adds a legend to the right of axes, where it covers no curve."""
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def mark_untrained(figure) -> None:
    """Says in a figure's title that the model's weights are initial values."""
    figure.suptitle("untrained model: its weights are initial values", fontsize=9)


class ShownAsFigure:
    """Base of results that a notebook shows as their figure. A subclass is a dataclass."""

    def plot(self):
        """Returns a `matplotlib.figure.Figure`."""
        raise NotImplementedError

    def _repr_png_(self) -> bytes | None:
        """The figure as PNG, which Jupyter asks for; None shows `repr` instead."""
        try:
            figure = self.plot()
        except (ImportError, ValueError):  # without matplotlib, or too much to draw
            return None
        return png_of(figure)

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        known = [f"{name}={_short(value)}" for name, value in values.items() if value is not None]
        return f"{type(self).__name__}({', '.join(known)})"


def _short(value) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    return f"[{len(value)} values]" if isinstance(value, list) else repr(value)


def draw_rows(images, pictures: list[list[np.ndarray]], columns: dict[str, dict]):
    """Draws a row per image: the image, unless `images` is None, then a picture for each column.

    `columns` are arguments of `imshow` by title. `overlay` is the opacity of a picture
    that is drawn over the image.
    """
    rows, titles, styles = pictures, list(columns), list(columns.values())
    height, width = np.shape(pictures[0][0])[:2] if pictures else (1, 1)
    if images is not None:
        images = displayable(images)
        if len(images) != len(pictures):
            raise ValueError(
                f"There must be one map per image. Received: {len(images)} images, "
                f"{len(pictures)} maps"
            )
        height, width = images.shape[1:3]
        rows = [[image, *of_image] for image, of_image in zip(images, pictures, strict=True)]
        titles, styles = ["image", *titles], [GREY, *styles]
    figure = new_figure(_CELL * len(titles), _CELL * len(rows) * height / width + 0.3)
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    for row, of_image in zip(axes, rows, strict=True):
        for ax, picture, style in zip(row, of_image, styles, strict=True):
            style = {"interpolation": "nearest", "extent": extent, **style}
            if "overlay" in style:
                ax.imshow(of_image[0], extent=extent, **GREY)
                style["alpha"] = style.pop("overlay")
            ax.imshow(picture, **style)
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return figure


def displayable(images) -> np.ndarray:
    """Returns images for matplotlib: channels last in [0, 1], grey ones without channels.

    Images with negative numbers, which are normalised, are stretched from the
    smallest number to the largest.
    """
    images = np.asarray(keras.ops.convert_to_numpy(images), "float32")
    if images.ndim != 4:
        raise ValueError(
            f"`images` must have shape (n, height, width, channels). Received: shape {images.shape}"
        )
    if images.shape[-1] not in (1, 3, 4) and images.shape[1] in (1, 3):  # channels first
        images = np.moveaxis(images, 1, -1)
    if images.min() < 0:
        images = (images - images.min()) / np.ptp(images)
    if images.max() > 1:
        images = images / 255
    images = images.clip(0, 1)
    return images[..., :3] if images.shape[-1] >= 3 else images[..., 0]
