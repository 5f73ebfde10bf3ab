"""Batches without TensorFlow: Pillow and NumPy, and Keras' layers on what they make."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_crate.data.augmentation import Augmentation, BatchAugmentation
from keras_crate.data.image_files import INTERPOLATIONS, MODES, fit_image
from keras_crate.data.image_sources import ImageSource
from keras_crate.data.rand_augment import rand_augment


class _ImageBatches(keras.utils.PyDataset):
    """Base: images are read by threads, those of the next batch while the model has this one.

    Keras' own workers are not used: they read ahead while the epoch changes.

    Args:
        source, classes, input_shape, batch_size: As in `TrainingBatches`.
        workers: Threads.
    """

    def __init__(self, source: ImageSource, classes: int, input_shape, batch_size, workers: int):
        super().__init__()
        self.mode = image_mode(input_shape)
        self.source, self.classes, self.input_shape = source, classes, tuple(input_shape)
        self.batch_size = check_batch_size(batch_size, len(source))
        self.threads = ThreadPoolExecutor(max(1, workers))
        self.ahead: dict = {}

    def _chosen(self, index: int) -> np.ndarray:
        """Which images are in a batch."""
        raise NotImplementedError

    def _reader(self) -> Callable[[int], np.ndarray]:
        """What reads an image; it keeps what it reads by, should the epoch change meanwhile."""
        raise NotImplementedError

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Images and one-hot labels of a batch."""
        chosen = self._chosen(index)
        running = self.ahead.pop(index, None) or self._submitted(chosen)
        self.ahead.clear()
        if index + 1 < len(self):
            self.ahead[index + 1] = self._submitted(self._chosen(index + 1))
        images = np.stack([future.result() for future in running])
        labels = np.zeros((len(chosen), self.classes), "float32")
        labels[np.arange(len(chosen)), self.source.labels[chosen]] = 1
        return images, labels

    def _submitted(self, chosen) -> list:
        read = self._reader()
        return [self.threads.submit(read, int(k)) for k in chosen]


class TrainingBatches(_ImageBatches):
    """Batches of augmented images with one-hot labels, shuffled at every epoch.

    The seed, the epoch and the image decide all of it but what `augment` does:
    the same seed gives the same batches, from whichever epoch on.

    Args:
        source: The images.
        classes: Number of classes.
        input_shape: Shape of an image, channels last.
        batch_size: Images a batch, >= 1; what is left over at the end of an
            epoch is left out of it.
        augmentation: What chance does to the images.
        seed: Seed of all chance.
        epoch: The first epoch, from 0.
        augment: A Keras or KerasCV layer, or a function, that changes a batch of
            images `(n, height, width, channels)` in [0, 255], before erasing
            and mixing; it draws chance by itself.
        workers: Threads that read images, >= 1; their number changes nothing
            else.

    Raises:
        ValueError: If images have another number of channels, or later, if one
            is broken.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches = keras_crate.data.TrainingBatches(pets.train, 2, (32, 32, 3), batch_size=2)
    images, labels = batches[0]  # (2, 32, 32, 3), pixels in [0, 255], and (2, 2)
    ```
    """

    def __init__(
        self,
        source: ImageSource,
        classes: int,
        input_shape: tuple[int, int, int],
        batch_size: int,
        augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
        seed: int = 0,
        epoch: int = 0,
        augment: Callable | None = None,
        workers: int = 1,
    ):
        super().__init__(source, classes, input_shape, batch_size, workers)
        self.seed = seed
        self.augmentation, self.augment = augmentation, augment
        self.on_batch = BatchAugmentation(augmentation, in_tf_data=False)
        self.start(epoch)

    def start(self, epoch: int) -> None:
        """Goes to the beginning of an epoch."""
        self.ahead.clear()
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.source))

    def __len__(self) -> int:
        return len(self.source) // self.batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = self._read(index)
        if self.augment is not None:
            images = _as_numpy(call_augment(self.augment, images))
        if self.on_batch:
            rng = np.random.default_rng([self.seed, self.epoch, len(self.source) + index])
            key = rng.integers(2**31, size=2)
            images, labels = map(_as_numpy, self.on_batch(images, labels, key))
        return images, labels

    def on_epoch_end(self) -> None:
        self.start(self.epoch + 1)

    def _chosen(self, index: int) -> np.ndarray:
        return self.order[index * self.batch_size : (index + 1) * self.batch_size]

    def _reader(self) -> Callable[[int], np.ndarray]:
        epoch = self.epoch

        def read(k: int) -> np.ndarray:
            rng = np.random.default_rng([self.seed, epoch, k])
            image = self.source.image(k, self.mode)
            return augmented(image, self.input_shape, self.augmentation, rng)

        return read


class EvaluationBatches(_ImageBatches):
    """Batches of images as a model is measured on them, with one-hot labels, in order.

    Args:
        source: The images.
        classes: Number of classes.
        input_shape: Shape of an image, channels last.
        batch_size: Images a batch; the last one may be smaller.
        resize, interpolation: As in `keras_crate.data.ImageFiles`.
        workers: Threads that read images, >= 1.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches = keras_crate.data.EvaluationBatches(pets.train, 2, (32, 32, 3), resize=36)
    images, labels = batches[0]
    ```
    """

    def __init__(
        self,
        source: ImageSource,
        classes: int,
        input_shape: tuple[int, int, int],
        batch_size: int = 32,
        resize=None,
        interpolation: str = "bilinear",
        workers: int = 1,
    ):
        super().__init__(source, classes, input_shape, batch_size, workers)
        self.resize, self.interpolation = resize, interpolation

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._read(index)

    def _chosen(self, index: int) -> np.ndarray:
        first = index * self.batch_size
        return np.arange(first, min(first + self.batch_size, len(self.source)))

    def _reader(self) -> Callable[[int], np.ndarray]:
        def read(k: int) -> np.ndarray:
            image = self.source.image(k, self.mode)
            return fit_image(image, self.input_shape[:2], self.resize, self.interpolation)

        return read


def image_mode(input_shape: tuple[int, int, int]) -> str:
    """Pillow's mode for images of a shape; refuses other numbers of channels."""
    if input_shape[-1] not in MODES:
        raise ValueError(
            "Image files have 1, 3 or 4 channels. Received: "
            f"input_shape={tuple(input_shape)}, with {input_shape[-1]}"
        )
    return MODES[input_shape[-1]]


def check_batch_size(batch_size, images: int) -> int:
    """The batch size, at most all images; refuses less than 1."""
    if not batch_size >= 1:
        raise ValueError(f"`batch_size` must be 1 or more. Received: batch_size={batch_size!r}")
    return min(int(batch_size), images)


def call_augment(augment: Callable, images):
    """What a layer, which is told that it trains, or a function makes of images."""
    if isinstance(augment, keras.layers.Layer):
        return augment(images, training=True)
    return augment(images)


def augmented(image, input_shape, augmentation: Augmentation, rng) -> np.ndarray:
    """An image cropped, turned and changed as chance has it.

    Args:
        image: A Pillow image.
        input_shape: Height, width and channels of what comes out.
        augmentation: The settings.
        rng: Where chance comes from.

    Returns:
        Float32 pixels in [0, 255].
    """
    height, width, _ = input_shape
    from PIL import Image, ImageOps

    box = None
    if augmentation.crop_area is not None:
        box = random_box(image.size, rng, augmentation.crop_area, augmentation.crop_ratio)
    method = Image.Resampling[INTERPOLATIONS[augmentation.interpolation]]
    image = image.resize((width, height), method, box=box)
    if augmentation.flip and rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if augmentation.rand_augment is not None:
        image = rand_augment(image, rng, *augmentation.rand_augment)
    return np.asarray(image, "float32").reshape(input_shape)


def random_box(
    size: tuple[int, int],
    rng,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[float, float, float, float]:
    """A part of an image.

    Args:
        size: Width and height of the image.
        rng: A `numpy.random.Generator`.
        area: Least and greatest share of the image's area.
        ratio: Least and greatest proportion, width to height.

    Returns:
        Left, upper, right and lower edge in pixels.
    """
    width, height = size
    for _ in range(10):
        wanted = rng.uniform(*area) * width * height
        proportion = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = math.sqrt(wanted * proportion), math.sqrt(wanted / proportion)
        if w <= width and h <= height:
            left, upper = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, upper, left + w, upper + h
    return 0, 0, width, height  # of a long and narrow image, the whole


def _as_numpy(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float32")
