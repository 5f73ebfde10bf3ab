"""Training batches from image files: random crops and flips, read as they are needed."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.data.image_files import MODES, open_image
from keras_crate.extras import needed


class TrainingFiles(keras.utils.PyDataset):
    """Batches of randomly cropped and flipped images with one-hot labels.

    A part of each image of 8 to 100 % of its area and of proportions from 3:4
    to 4:3 is resized (bilinear, antialiased) to the model's size, and turned
    left to right half the time. Files are shuffled anew at every epoch. The
    seed, the epoch and the file decide all of it.

    Args:
        files: The files.
        labels: Class of each.
        classes: Number of classes.
        input_shape: Shape of an image, channels last.
        batch_size: Images a batch, >= 1; what is left over at the end of an
            epoch waits for the next.
        seed: The same seed gives the same batches.
        **kwargs: As in `keras.utils.PyDataset`, such as `workers`.

    Raises:
        ValueError: If there are no files, images have another number of
            channels, or later, if one is broken.

    Example:

    ```python
    files = ["photographs/0.png", "photographs/0.png"]
    batches = keras_crate.data.TrainingFiles(files, [0, 1], 2, (32, 32, 3), batch_size=2)
    images, labels = batches[0]  # (2, 32, 32, 3), pixels in [0, 255], and (2, 2)
    ```
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike],
        labels: Sequence[int],
        classes: int,
        input_shape: tuple[int, int, int],
        batch_size: int,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not len(files):
            raise ValueError("`files` must name at least one image. Received: none")
        if input_shape[-1] not in MODES:
            raise ValueError(
                "Image files have 1, 3 or 4 channels. Received: "
                f"input_shape={tuple(input_shape)}, with {input_shape[-1]}"
            )
        if not batch_size >= 1:
            raise ValueError(f"`batch_size` must be 1 or more. Received: batch_size={batch_size!r}")
        self.files = [Path(file) for file in files]
        self.labels = np.asarray(labels)
        self.classes, self.input_shape = classes, tuple(input_shape)
        self.batch_size, self.seed = min(int(batch_size), len(self.files)), seed
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.files) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = np.stack([self._image(int(k)) for k in chosen])
        return images, np.eye(self.classes, dtype="float32")[self.labels[chosen]]

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.files))

    def _image(self, k: int) -> np.ndarray:
        with needed("pillow", "Image files need"):
            from PIL import Image
        rng = np.random.default_rng([self.seed, self.epoch, k])
        height, width, channels = self.input_shape
        try:
            image = open_image(self.files[k], MODES[channels])
        except Exception as error:  # Pillow's decoders raise errors of many kinds
            raise ValueError(
                f"The image {self.files[k]} cannot be read ({error}). Remove or replace it."
            ) from error
        resized = image.resize(
            (width, height), Image.Resampling.BILINEAR, box=random_box(image.size, rng)
        )
        pixels = np.asarray(resized, "float32").reshape(height, width, channels)
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels


def random_box(size: tuple[int, int], rng) -> tuple[float, float, float, float]:
    """A part of an image: 8 to 100 % of its area, of proportions from 3:4 to 4:3.

    Args:
        size: Width and height of the image.
        rng: A `numpy.random.Generator`.

    Returns:
        Left, upper, right and lower edge in pixels.
    """
    width, height = size
    for _ in range(10):
        area = rng.uniform(0.08, 1.0) * width * height
        proportion = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = math.sqrt(area * proportion), math.sqrt(area / proportion)
        if w <= width and h <= height:
            left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, upper, left + w, upper + h
    return 0, 0, width, height  # of a long and narrow image, the whole
