"""Draws what was seen inside a model, as HTML. Pictures are tiny PNGs that the browser enlarges."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np

from keras_crate.app.inside import TWIN, Seen, as_pixels

KEYS = "Arrow keys choose a patch, Escape chooses none."


def panel(seen: Seen, block: int, patch: int | None) -> str:
    """Returns a model's pictures: the image, its classes, and a block's tokens and attention."""
    block = min(block, seen.depth - 1)
    who = _who(seen, patch)
    told = not seen.untrained or seen.name.endswith(TWIN)
    untrained = "" if told else " <small>initial weights</small>"
    return (
        f"<h3>{escape(seen.name)}{untrained}</h3>"
        f'<div class="crate-top">{_image(seen, patch)}{_components(seen, block)}'
        f"{_classes(seen)}</div>"
        f"<h4>Block {block}: what {who} attends to</h4>{_heads(seen, block, patch)}"
    )


def curves(seen: Sequence[Seen], block: int) -> str:
    """Returns the two curves over the blocks, with a line at one block."""
    measured = [(k, s) for k, s in enumerate(seen) if s.measured is not None]
    if not measured:
        return "<p>The operators of this model have no subspaces to measure.</p>"
    rates = [(k, s.measured.coding_rate_mean) for k, s in measured]
    shares = [(k, [1 - zeros for zeros in s.measured.sparsity_mean]) for k, s in measured]
    names = " ".join(f'<span class="crate-line-{k}">{escape(s.name)}</span>' for k, s in measured)
    return (
        f'<p class="crate-legend">{names}</p><div class="crate-curves">'
        f"{_curve('Coding rate R<sup>c</sup> (nats)', rates, block)}"
        f"{_curve('Share of non-zeros', shares, block)}</div>"
    )


def reconstruction(found) -> str:
    """Returns the pictures of a `Reconstruction` of one image."""
    from keras_crate.figure import displayable

    names = {"masked": "What the model sees", "reconstruction": "What it predicts",
             "pasted": "Both together"}  # fmt: skip
    pictures = displayable(np.concatenate([getattr(found, name) for name in names]))
    figures = (
        _figure(as_pixels(picture), caption)
        for picture, caption in zip(pictures, names.values(), strict=True)
    )
    return f'<div class="crate-top">{"".join(figures)}</div>'


def _image(seen: Seen, patch: int | None) -> str:
    rows, columns = seen.grid
    every = "Class token" if seen.prefix_tokens else "All patches"
    return (
        f'<figure><div class="crate-picture" tabindex="0" role="application" data-rows="{rows}" '
        f'data-columns="{columns}" data-patch="{"" if patch is None else patch}" '
        f'aria-label="The image, {rows} by {columns} patches. {KEYS}">'
        f'<img src="{address_of(png(seen.picture))}" alt="" draggable="false">'
        f"{_mark(seen, patch)}</div>"
        "<figcaption>Click a patch to see what it attends to. "
        f'<button type="button" data-every>{every}</button></figcaption></figure>'
    )


def _components(seen: Seen, block: int) -> str:
    return _figure(
        as_pixels(seen.components[block]),
        f"Tokens after block {block}: similar colours, similar tokens (PCA)",
    )


def _classes(seen: Seen) -> str:
    if not seen.classes:
        return ""
    rows = "".join(
        f'<tr style="--share:{share:.1%}"><th scope="row">{escape(name)}</th>'
        f"<td>{share:.1%}</td></tr>"
        for name, share in seen.classes
    )
    return f'<table class="crate-classes"><caption>Likeliest classes</caption>{rows}</table>'


def _heads(seen: Seen, block: int, patch: int | None) -> str:
    maps = seen.attended(block, patch)
    if maps is None:
        return (
            f"<p>{escape(seen.operators[block])} has no attention between pairs of tokens: "
            "it compresses all tokens by common statistics. There is no map to draw.</p>"
        )
    import matplotlib

    colours = matplotlib.colormaps["magma"]
    figures = (
        _figure(
            as_pixels(colours(of_head / max(of_head.max(), 1e-12))[..., :3]),
            f"head {k}, up to {of_head.max():.2g}",
            _mark(seen, patch),
        )
        for k, of_head in enumerate(maps)
    )
    return f'<div class="crate-heads">{"".join(figures)}</div>'


def _figure(pixels: np.ndarray, caption: str, over: str = "") -> str:
    return (
        f'<figure><div class="crate-map"><img src="{address_of(png(pixels))}" '
        f'alt="{escape(caption)}">{over}</div><figcaption>{escape(caption)}</figcaption></figure>'
    )


def _mark(seen: Seen, patch: int | None) -> str:
    """A frame around a patch."""
    if patch is None:
        return ""
    rows, columns = seen.grid
    row, column = divmod(patch, columns)
    place = f"left:{column / columns:.3%};top:{row / rows:.3%}"
    return f'<i style="{place};width:{1 / columns:.3%};height:{1 / rows:.3%}"></i>'


def _who(seen: Seen, patch: int | None) -> str:
    if patch is None:
        return "the class token" if seen.prefix_tokens else "the mean of all patches"
    row, column = divmod(patch, seen.grid[1])
    return f"the patch in row {row}, column {column}"


def _curve(title: str, lines: list[tuple[int, list[float]]], block: int) -> str:
    """One panel: a line for each model, from 0 to the largest value, and a line at the block."""
    width, height, left, top = 320, 150, 40, 8
    depth = max(len(values) for _, values in lines)
    most = max(max(values) for _, values in lines) or 1

    def place(k: float, value: float) -> tuple[float, float]:
        x = left + (width - left - 10) * k / max(depth - 1, 1)
        return x, top + (height - top - 22) * (1 - value / most)

    drawn = []
    for tick in (0, most / 2, most):
        _, y = place(0, tick)
        drawn.append(f'<line class="crate-grid" x1="{left}" x2="{width - 10}" y1="{y}" y2="{y}"/>')
        drawn.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">{tick:.3g}</text>')
    for k in range(0, depth, max(1, depth // 6)):
        x, y = place(k, 0)
        drawn.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{k}</text>')
    x, y = place(min(block, depth - 1), 0)
    drawn.append(f'<line class="crate-here" x1="{x}" x2="{x}" y1="{top}" y2="{y}"/>')
    for number, values in lines:
        points = [place(k, value) for k, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        drawn.append(f'<polyline class="crate-line-{number}" points="{path}"/>')
        drawn += [
            f'<circle class="crate-line-{number}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>block {k}: {value:.3g}</title></circle>"
            for k, (value, (x, y)) in enumerate(zip(values, points, strict=True))
        ]
    return (
        f"<figure><figcaption>{title} at each block</figcaption>"
        f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(drawn)}</svg></figure>'
    )


def png(pixels: np.ndarray) -> bytes:
    """Returns a picture as a PNG file."""
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()


def address_of(file: bytes) -> str:
    """Returns a PNG file as a data address."""
    return f"data:image/png;base64,{base64.b64encode(file).decode('ascii')}"
