"""Images of shapes on textures, with the masks of the shapes."""

import numpy as np

from keras_crate.checks import check_positive

SHAPES = ("disk", "square", "triangle", "star", "cross", "ring")
"""Names of the shapes, in the order of the labels."""


def shapes_on_textures(
    count: int, size: int = 64, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws images of one textured shape each, on a background of another texture.

    Position, size, angle, colours and textures are random. Colours and textures
    of shapes and backgrounds are drawn in the same way, so only the outline
    shows which shape it is.

    Args:
        count: Number of images, at least 1.
        size: Height and width in pixels.
        seed: The same seed gives the same images.

    Returns:
        Images `(count, size, size, 3)`, uint8 in [0, 255]; labels `(count,)`,
        the index of the shape in `SHAPES`; masks
        `(count, size, size)`, boolean, True on the shape.

    Raises:
        ValueError: If `count` or `size` is not a positive integer.
    """
    check_positive("count", count)
    check_positive("size", size)
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(SHAPES), size=count)
    masks = np.stack([_mask(SHAPES[label], size, rng) for label in labels])
    images = np.empty((count, size, size, 3), "uint8")
    for image, mask in zip(images, masks, strict=True):
        ground, figure = _colours(rng), _colours(rng)
        while np.abs(ground.mean(axis=0) - figure.mean(axis=0)).max() < 40:
            figure = _colours(rng)
        painted = np.where(
            mask[..., None], _texture(size, figure, rng), _texture(size, ground, rng)
        )
        noisy = painted + rng.normal(scale=6, size=painted.shape)
        image[:] = np.clip(noisy, 0, 255).round()
    return images, labels, masks


def _mask(shape: str, size: int, rng) -> np.ndarray:
    """Returns the mask of a shape inside the image, whose farthest point is at `radius`."""
    radius = rng.uniform(0.22, 0.42) * size
    centre = rng.uniform(radius, size - radius, size=2)
    angle = rng.uniform(-0.25, 0.25)
    rows, columns = np.mgrid[:size, :size] + 0.5
    y, x = (rows - centre[0]) / radius, (columns - centre[1]) / radius
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    r, theta = np.hypot(x, y), np.arctan2(y, x)
    if shape == "disk":
        return r < 1
    if shape == "ring":
        return (r < 1) & (r > 0.5)
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) < np.sqrt(0.5)
    if shape == "triangle":
        return r * np.cos((theta + np.pi / 3) % (2 * np.pi / 3) - np.pi / 3) < 0.5
    if shape == "cross":
        near, far = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
        return (near < 0.3) & (far < 0.95)
    # A star of five points: straight lines between points at radius 1 and notches at 0.45.
    turn = np.abs((theta + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)  # from the nearest point
    notch = 0.45 * np.array([np.cos(np.pi / 5), np.sin(np.pi / 5)])
    normal = np.array([notch[1], 1 - notch[0]])
    return r * (normal[0] * np.cos(turn) + normal[1] * np.sin(turn)) < normal[0]


def _colours(rng) -> np.ndarray:
    """Returns two colours of a texture, `(2, 3)`. The second is a shade of the first."""
    first = rng.uniform(30, 225, size=3)
    return np.stack([first, np.clip(first + rng.uniform(-60, 60, size=3), 0, 255)])


def _texture(size: int, colours: np.ndarray, rng) -> np.ndarray:
    """Returns stripes, checks or clouds between two colours, `(size, size, 3)`."""
    rows, columns = np.mgrid[:size, :size] * (64 / size)
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 14)
    u = columns * np.cos(angle) + rows * np.sin(angle)
    v = rows * np.cos(angle) - columns * np.sin(angle)
    kind = rng.integers(3)
    if kind == 0:
        blend = 0.5 + 0.5 * np.sin(2 * np.pi * u / period)
    elif kind == 1:
        blend = 0.5 + 0.5 * np.sign(np.sin(np.pi * u / period) * np.sin(np.pi * v / period))
    else:
        waves = rng.normal(scale=2 * np.pi / 14, size=(6, 2)) @ np.stack([u.ravel(), v.ravel()])
        clouds = np.sin(waves + rng.uniform(0, 2 * np.pi, size=(6, 1))).sum(axis=0)
        blend = (0.5 + clouds.reshape(size, size) / 6).clip(0, 1)
    return colours[0] + blend[..., None] * (colours[1] - colours[0])
