"""Folders of images to train on."""

import numpy as np
from PIL import Image

NAMES = ("bluish", "reddish")


def coloured(folder, count=12, names=NAMES):
    """Classes that colours tell apart, JPEGs and PNGs, in a folder each."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.uniform(0, 120, (20, 24, 3))
            pixels[..., 2 - 2 * (k % 2)] += 120
            ending = "jpg" if i % 2 else "png"
            Image.fromarray(pixels.astype("uint8")).save(folder / name / f"{i}.{ending}")
    return folder
