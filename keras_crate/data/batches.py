"""Batches without TensorFlow: threads read and change images with Pillow."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import keras
import numpy as np

from keras_crate.checks import check_positive, names_arguments
from keras_crate.data.augmentation import Augmentation
from keras_crate.data.batch_augmentation import BatchAugmentation, call_augment
from keras_crate.data.image_augmentation import augment_image, shift_and_flip
from keras_crate.data.image_files import check_pillow, image_mode
from keras_crate.data.image_sources import ArraySource, ImageSource
from keras_crate.data.resizing import check_interpolation, check_resize, fit_image
from keras_crate.data.share import Share, padded, share_of_evaluation, share_of_training


class _ImageBatches(keras.utils.PyDataset):
    """Base class: threads read the next batch while the model computes this one.

    The workers of Keras are not used, because they read ahead across the end of
    an epoch. A subclass has `_chosen(index)`, which returns the indices of a
    batch's images, and `_changed(image, k, epoch)`, which returns an image's pixels.

    Images of an array that are not resized need no threads: `_from_array(index)`
    returns a whole batch of them, many times faster.
    """

    array: np.ndarray | None = None

    def __init__(self, source: ImageSource, classes: int, input_shape, share: Share, workers: int):
        super().__init__()
        check_pillow()
        self.mode = image_mode(input_shape)
        self.source, self.classes, self.input_shape = source, classes, tuple(input_shape)
        self.share, self.batch_size = share, share.batch_size
        self.epoch = 0
        self.threads = ThreadPoolExecutor(check_positive("workers", workers))
        self.ahead: dict[int, list[Future]] = {}  # the next batch's images, by its index

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self.array is None:
            images, labels = self._from_threads(index)
        else:
            images, labels = self._from_array(index), self.source.labels[self._chosen(index)]
        labels = keras.utils.to_categorical(labels, self.classes).astype("float32")
        return images.astype("float32"), labels

    def _from_threads(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        futures = self.ahead.pop(index, None) or self._start(index)
        self.ahead.clear()
        if index + 1 < len(self):
            self.ahead[index + 1] = self._start(index + 1)
        images, labels = zip(*(future.result() for future in futures), strict=True)
        return np.stack(images), np.array(labels)

    def _start(self, index: int) -> list[Future]:
        """Starts to read a batch. It is one of the current epoch, even if `epoch` changes later."""
        return [self.threads.submit(self._image, int(k), self.epoch) for k in self._chosen(index)]

    def _image(self, k: int, epoch: int) -> tuple[np.ndarray, int]:
        image, label = self.source.labelled(k, self.mode)
        return self._changed(image, k, epoch), label


class TrainingBatches(_ImageBatches):
    """Batches of augmented images with one-hot labels, in a new random order at each epoch.

    Everything random follows from the seed, the epoch and the image, except the
    random numbers of `augment`. A resumed run gets the batches of an
    uninterrupted one.

    With `shard=(index, count)`, this process reads only its rows of each batch.
    The rows of all processes together, in the order of the processes, are the
    batch of one process. Erasing and mixing are an exception: they work on the
    rows of one process in one step, so the result depends on the number of
    processes and steps. Give `augment` another seed in each process: with one
    seed, all processes draw the same numbers.

    Args:
        source: The images.
        classes: Number of classes.
        input_shape: Height, width and channels of the images. There must be 1,
            3 or 4 channels.
        batch_size: Number of images per batch of all processes, at least 1. Images
            that do not fill the last batch of an epoch are left out of it.
        augmentation: How the images are changed at random.
        seed: The seed.
        epoch: The first epoch, counted from 0.
        augment: A Keras or KerasCV layer, or a function, that changes a batch of
            images `(n, height, width, channels)` in [0, 255] before erasing and
            mixing. It draws its own random numbers.
        workers: Number of threads that read images. It does not change the
            batches.
        shard: Number of this process, from 0, and number of processes.
        accumulate: Number of steps per batch. Each step gets an equal part of the
            batch. The optimizer needs as many `gradient_accumulation_steps`.

    Raises:
        ValueError: If an argument is out of range, the batch cannot be divided
            by processes and steps, or later, if an image is broken.
        ImportError: If Pillow is not installed.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches = keras_crate.data.TrainingBatches(pets.train, 2, (32, 32, 3), batch_size=2)
    images, labels = batches[0]  # (2, 32, 32, 3), pixels in [0, 255], and (2, 2)
    ```
    """

    @names_arguments
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
        shard: tuple[int, int] = (0, 1),
        accumulate: int = 1,
    ):
        share = share_of_training(batch_size, len(source), shard, accumulate)
        super().__init__(source, classes, input_shape, share, workers)
        self.augmentation, self.seed, self.augment = augmentation, seed, augment
        self.on_batch = BatchAugmentation(augmentation, in_tf_data=False)
        if not (augmentation.crop_area or augmentation.rand_augment):
            self.array = _array_of(source, self.input_shape)
        self.start(epoch)

    def start(self, epoch: int) -> None:
        """Goes to the beginning of an epoch."""
        self.ahead.clear()
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.source))

    def on_epoch_end(self) -> None:
        self.start(self.epoch + 1)

    def __len__(self) -> int:
        return len(self.source) // self.batch_size * self.share.accumulate

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        images, labels = super().__getitem__(index)
        if self.augment is not None:
            images = _as_numpy(call_augment(self.augment, images))
        if self.on_batch:
            share = self.share
            streams = () if share.count == 1 else (2, share.index)
            key = self._batch_rng(index, *streams).integers(2**31, size=2)
            images, labels = map(_as_numpy, self.on_batch(images, labels, key))
        return images, labels

    def _chosen(self, index: int) -> np.ndarray:
        first = index // self.share.accumulate * self.batch_size
        return self.order[first : first + self.batch_size][self.share.rows_of(index)]

    def _batch_rng(self, index: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch, len(self.source) + index, *stream])

    def _from_array(self, index: int) -> np.ndarray:
        share = self.share
        rng = self._batch_rng(index // share.accumulate, 1)  # the same for all rows of the batch
        return shift_and_flip(
            self.array[self._chosen(index)],
            self.augmentation,
            rng,
            share.batch_size,
            share.rows_of(index),
        )

    def _changed(self, image, k: int, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch, k])
        return augment_image(image, self.input_shape, self.augmentation, rng)


class EvaluationBatches(_ImageBatches):
    """Batches of images with one-hot labels, in order, for measuring accuracy.

    Several devices need batches whose size is a multiple of their number. With
    `multiple_of` above 1, the last batch is padded by repeating the last image, and each
    batch has a third part: the weights of the images. The padding has weight 0. Every
    other image has the weight `padded / real`: the number of images with padding,
    divided by the number without. The loss and the `weighted_metrics` of
    `model.evaluate` are then means over the real images.

    Args:
        source, classes, input_shape, workers: As in `TrainingBatches`.
        batch_size: Number of images per batch of all processes. The last batch may
            be smaller.
        resize, interpolation: As in `keras_crate.data.ImageFiles`.
        shard: Number of this process, from 0, and number of processes. Each gets
            an equal part of every batch.
        multiple_of: A multiple of the number of processes. The number of images in
            each batch is a multiple of it; `batch_size` is rounded down, to at
            least this number.

    Raises:
        ValueError, ImportError: As in `TrainingBatches`.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches = keras_crate.data.EvaluationBatches(pets.train, 2, (32, 32, 3), resize=36)
    images, labels = batches[0]
    ```
    """

    @names_arguments
    def __init__(
        self,
        source: ImageSource,
        classes: int,
        input_shape: tuple[int, int, int],
        batch_size: int = 32,
        resize=None,
        interpolation: str = "bilinear",
        workers: int = 1,
        shard: tuple[int, int] = (0, 1),
        multiple_of: int = 1,
    ):
        share = share_of_evaluation(batch_size, len(source), shard, multiple_of)
        super().__init__(source, classes, input_shape, share, workers)
        self.padded = padded(len(source), multiple_of)
        self.weighted = multiple_of > 1
        self.resize = check_resize(resize, self.input_shape[:2])
        self.interpolation = check_interpolation(interpolation)
        size = self.input_shape[:2]
        if self.resize in (None, size, min(size)):
            self.array = _array_of(source, self.input_shape)

    def __len__(self) -> int:
        return -(-self.padded // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        batch = super().__getitem__(index)
        if not self.weighted:
            return batch
        is_real = self._places(index) < len(self.source)
        return *batch, is_real.astype("float32") * (self.padded / len(self.source))

    def _places(self, index: int) -> np.ndarray:
        """The places of this process's rows among all images and the padding."""
        first = index * self.batch_size
        rows = np.array_split(
            np.arange(first, min(first + self.batch_size, self.padded)), self.share.count
        )
        return rows[self.share.index]

    def _chosen(self, index: int) -> np.ndarray:
        return np.minimum(self._places(index), len(self.source) - 1)

    def _from_array(self, index: int) -> np.ndarray:
        return self.array[self._chosen(index)]

    def _changed(self, image, k: int, epoch: int) -> np.ndarray:
        return fit_image(image, self.input_shape[:2], self.resize, self.interpolation)


def _array_of(source: ImageSource, input_shape) -> np.ndarray | None:
    """The images, if they are an array of the shape that a model takes."""
    if isinstance(source, ArraySource) and source.images.shape[1:] == input_shape:
        return source.images
    return None


def _as_numpy(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float32")
