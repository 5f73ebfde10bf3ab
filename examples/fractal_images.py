"""Images that need no camera: fractals of random iterated function systems.

A class is a set of 2 to 5 random affine maps that shrink the plane. Its images are drawn by the
chaos game, each with slightly other maps, another rotation and other random numbers. Kataoka et
al., "Pre-training without Natural Images", arXiv:2101.08515, train on such images.
"""

import multiprocessing

import numpy as np

CHAINS, STEPS, BURN_IN = 128, 256, 16  # points drawn in parallel, and after one another


def random_system(rng) -> tuple[np.ndarray, np.ndarray]:
    """Returns affine maps (n, 2, 3) and the probability of each."""
    count = rng.integers(2, 6)
    angles = rng.uniform(0, 2 * np.pi, (2, count))
    shrink = rng.uniform(0.2, 0.9, (count, 2)) * rng.choice([-1, 1], (count, 2))
    linear = _rotation(angles[0]) @ (shrink[:, :, None] * _rotation(angles[1]))
    maps = np.concatenate([linear, rng.uniform(-1, 1, (count, 2, 1))], axis=2)
    areas = np.abs(np.linalg.det(linear)) + 0.02
    return maps, areas / areas.sum()


def full_system(rng) -> tuple[np.ndarray, np.ndarray]:
    """A random system whose image is not nearly empty."""
    while True:
        system = random_system(rng)
        if (draw(*system, 1, 56, np.random.default_rng(0)) > 0).mean() > 0.1:
            return system


def draw(maps: np.ndarray, probabilities: np.ndarray, count: int, size: int, rng) -> np.ndarray:
    """Draws images of one class: uint8 (count, size, size, 1)."""
    maps = maps * (1 + rng.uniform(-0.1, 0.1, (count, *maps.shape)))
    point = np.zeros((count, CHAINS, 2))
    which = np.arange(count)[:, None]
    points = []
    limits = np.cumsum(probabilities)[:-1]
    for step in range(STEPS + BURN_IN):
        chosen = np.searchsorted(limits, rng.random((count, CHAINS)))
        m = maps[which, chosen]
        point = (m[..., :2] * point[:, :, None]).sum(-1) + m[..., 2]
        if step >= BURN_IN:
            points.append(point)
    points = np.concatenate(points, axis=1) @ _rotation(rng.uniform(0, 2 * np.pi, count))
    low, high = np.percentile(points, (1, 99), axis=1)[:, :, None]
    pixels = ((points - low) / (high - low + 1e-9) * (size - 1)).clip(0, size - 1).astype(int)
    images = np.zeros((count, size, size, 1), "uint8")
    images[which, pixels[..., 0], pixels[..., 1]] = 255
    return images


def _rotation(angle: np.ndarray) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def _class(arguments) -> np.ndarray:
    k, count, size = arguments
    system = full_system(np.random.default_rng([0, k]))
    return draw(*system, count, size, np.random.default_rng([1, k]))


def fractals(classes: int, each: int, size: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws images and labels of all classes, the same at each call.

    Args:
        classes: Number of classes.
        each: Images of a class.
        size: Side of an image in pixels.
        workers: Number of processes.

    Returns:
        Images, uint8 `(classes * each, size, size, 1)`, and labels.
    """
    with multiprocessing.get_context("spawn").Pool(workers) as pool:  # threads cannot be forked
        images = pool.map(_class, [(k, each, size) for k in range(classes)], chunksize=1)
    return np.concatenate(images), np.repeat(np.arange(classes), each)
