"""Labelled images of any kind: arrays, files, data sets of Hugging Face and of TensorFlow."""

import dataclasses
import functools
import io
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from keras_crate.checks import check_choice, names_arguments
from keras_crate.data.image_files import MODES, open_image, opened

SPLITS = ("validation", "test")  # on which a model can be measured


def split_to_measure(available: Collection[str], wanted: str | None) -> str:
    """Returns the wanted split, or by default `"test"` if it is available, else `"validation"`."""
    if wanted is not None:
        return check_choice("split", wanted, SPLITS)
    return "test" if "test" in available else "validation"


@names_arguments
@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """A set of labelled images, split for training, validation and test.

    Accuracy is measured on the validation images after each epoch, to choose
    epochs and settings. The test images are looked at once, after the training,
    for the accuracy that is reported.

    Attributes:
        name: Name of the set.
        train: The training images, a
            `keras_crate.data.image_sources.ImageSource`. It has `len(train)`,
            `train.labels` (int64, from 0) and `train.image(k, "RGB")`. If the
            images are in an array, it also has `train.images`, uint8
            `(n, height, width, channels)`.
        validation: The validation images in the same form, or None.
        class_names: One name per class, or None if they are not known.
        classes: Number of classes.
        source: Where the images come from, in one line.
        test: The test images in the same form, or None.
    """

    name: str
    train: "ImageSource"
    validation: "ImageSource | None"
    class_names: tuple[str, ...] | None
    classes: int
    source: str
    test: "ImageSource | None" = None

    def measured(self, split: str | None = None) -> "tuple[str, ImageSource]":
        """Returns a split's name and its images, on which a model is measured.

        Args:
            split: `"validation"` or `"test"`. By default, the test images if there
                are some, else the validation images.

        Raises:
            ValueError: If there are no such images.
        """
        found = {name: getattr(self, name) for name in SPLITS if getattr(self, name) is not None}
        split = split_to_measure(found, split)
        if split not in found:
            raise ValueError(f"There are no {split} images. Received: {self.source}")
        return split, found[split]


class ImageSource:
    """Base class: images that are read one by one, and their classes.

    Args:
        labels: Class of each image, integers from 0.
    """

    def __init__(self, labels: Sequence[int]):
        self.labels = np.asarray(labels, "int64")

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, k: int, mode: str):
        """Returns image `k` as a Pillow image of mode `"L"`, `"RGB"` or `"RGBA"`."""
        return self.labelled(k, mode)[0]

    def labelled(self, k: int, mode: str) -> tuple:
        """Returns image `k` as `image` does, and its class."""
        try:
            return self._read_labelled(k, mode)
        except Exception as error:  # decoders raise errors of many kinds
            raise ValueError(
                f"{self.describe(k)} cannot be read ({error}). Remove or replace it."
            ) from error

    def _read_labelled(self, k: int, mode: str) -> tuple:
        """Image `k` and its class, for `labelled`. Override it if one file has both."""
        return self._read(k, mode), self.labels[k]

    def _read(self, k: int, mode: str):
        """Image `k`, for `image`."""
        raise NotImplementedError

    def _subset(self, chosen: np.ndarray) -> "ImageSource":
        """The images of these indices, for `sample` and `cut`."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Channels of the images: 1, 3 or 4."""
        return 3

    def describe(self, k: int) -> str:
        """Returns what image `k` is called in messages."""
        return f"Image {k}"

    def sample(self, count: int) -> "ImageSource":
        """Returns `count` random images, or all if there are fewer. Each call returns the same."""
        order = np.random.default_rng(0).permutation(len(self))
        return self._subset(np.sort(order[:count]))

    def cut(self, share: float) -> "tuple[ImageSource, ImageSource]":
        """Cuts off a share in (0, 1) of the images, at random and from each class alike.

        Each call cuts off the same images. A class keeps at least one image. Returns the other
        images, and those that were cut off.
        """
        count = max(1, round(share * len(self)))
        order = np.random.default_rng(0).permutation(len(self))
        order = order[np.argsort(self.labels[order], kind="stable")]  # class by class
        chosen = order[((np.arange(count) + 0.5) * len(self) / count).astype(int)]
        others = np.setdiff1d(order, chosen)
        chosen = chosen[np.isin(self.labels[chosen], self.labels[others])]
        if not len(chosen):
            raise ValueError(
                f"There are too few training images to cut validation images from: {len(self)}. "
                "Pass other images as `validation`, or 0 for none."
            )
        chosen = np.sort(chosen)
        return self._subset(np.setdiff1d(order, chosen)), self._subset(chosen)


class ArraySource(ImageSource):
    """Images in one array.

    Args:
        images: `(n, height, width, channels)` with 1, 3 or 4 channels, in
            [0, 255]. The attribute `images` is uint8.
        labels: Integers `(n,)` or `(n, 1)`. The attribute `labels` is int64
            `(n,)`.

    Raises:
        ValueError: If a shape or a pixel is out of range.
    """

    def __init__(self, images, labels):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 4 or images.shape[-1] not in MODES:
            raise ValueError(
                "Images must have shape (n, height, width, channels), with 1, 3 or 4 channels. "
                f"Received: shape {images.shape}"
            )
        if labels.shape == (len(images), 1):
            labels = labels[:, 0]  # as in keras.datasets
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Labels must be {len(images)} integers, one per image. Received: shape "
                f"{labels.shape}, {labels.dtype}"
            )
        super().__init__(labels)
        self.images = images if images.dtype == np.uint8 else _as_bytes(images)

    def _read(self, k: int, mode: str):
        from PIL import Image

        pixels = self.images[k]
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert(mode)

    @property
    def channels(self) -> int:
        return self.images.shape[-1]

    def _subset(self, chosen: np.ndarray) -> "ArraySource":
        return ArraySource(self.images[chosen], self.labels[chosen])


def _as_bytes(images: np.ndarray) -> np.ndarray:
    lowest, highest = (images.min(), images.max()) if images.size else (0, 255)
    if not (lowest >= 0 and 1 < highest <= 255):
        raise ValueError(
            "Pixels must be finite and in [0, 255], not rescaled to [0, 1]. Received: pixels from "
            f"{lowest} to {highest}"
        )
    return images.round().astype("uint8")


class FileSource(ImageSource):
    """Images in files, which are read when they are needed."""

    def __init__(self, files: Sequence[Path], labels):
        super().__init__(labels)
        self.files = [Path(file) for file in files]

    def _read(self, k: int, mode: str):
        return open_image(self.files[k], mode)

    def describe(self, k: int) -> str:
        return f"The image {self.files[k]}"

    def _subset(self, chosen: np.ndarray) -> "FileSource":
        return FileSource([self.files[k] for k in chosen], self.labels[chosen])


class HuggingFaceSource(ImageSource):
    """Images of a `datasets.Dataset`, with the names of its columns of images and classes."""

    def __init__(self, dataset, image: str, label: str):
        import datasets

        super().__init__(dataset[label])
        # Not decoded by `datasets`, which has no limits.
        self.dataset = dataset.cast_column(image, datasets.Image(decode=False))
        self.columns = (image, label)

    def _file(self, k: int):
        found = self.dataset[int(k)][self.columns[0]]
        return found["path"] if found["bytes"] is None else io.BytesIO(found["bytes"])

    def _read(self, k: int, mode: str):
        return open_image(self._file(k), mode)

    @property
    def channels(self) -> int:
        with opened(self._file(0)) as image:
            return 1 if image.mode in ("1", "L") else 3

    def _subset(self, chosen: np.ndarray) -> "HuggingFaceSource":
        return HuggingFaceSource(self.dataset.select(chosen), *self.columns)


class BuilderSource(ImageSource):
    """Base class: images of a prepared `tfds.core.DatasetBuilder`."""

    def __init__(self, builder, split: str):
        self.builder, self.split = builder, split

    def describe(self, k: int) -> str:
        return f"Image {k} of {self.builder.name}, split {self.split}"

    @property
    def channels(self) -> int:
        return self.builder.info.features["image"].shape[-1] or 3

    def cut(self, share: float) -> "tuple[ImageSource, ImageSource]":
        """Cuts off the last images, of all classes together: reading the labels takes long."""
        first = len(self) - max(1, round(share * len(self)))
        return self._part(0, first), self._part(first, len(self))

    def _part(self, first: int, end: int) -> "BuilderSource":
        raise NotImplementedError


class TFDSSource(BuilderSource):
    """A split of a prepared `tfds.core.DatasetBuilder`, or a part of it, in its stored order."""

    def __init__(self, builder, name: str, start: int = 0, stop: int | None = None):
        is_whole = not start and stop is None
        # What TensorFlow Datasets calls the part.
        super().__init__(builder, name if is_whole else f"{name}[{start or ''}:{stop or ''}]")
        self.name, self.start = name, start

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Class of each image. The first access reads the whole split."""
        return np.fromiter((int(label) for _, label in self.encoded()), "int64")

    def __len__(self) -> int:
        return self._count

    @functools.cached_property
    def _count(self) -> int:
        return int(self.encoded().cardinality())

    def encoded(self, index: int = 0, count: int = 1, file_seed=None):
        """Returns a `tf.data.Dataset` of pairs: an encoded image and its class.

        Process `index` of `count` reads its own files, or its own part of the images if
        there are fewer files than processes. Without a seed, files have their stored order.
        """
        import tensorflow as tf
        import tensorflow_datasets as tfds

        config = tfds.ReadConfig(shuffle_seed=file_seed)
        if count > 1:
            files = self.builder.info.splits[self.split].file_instructions
            if len(files) < count:
                size = len(self) // count
                return self._part(index * size, (index + 1) * size).encoded(file_seed=file_seed)
            config.input_context = tf.distribute.InputContext(count, index)
        return self.builder.as_dataset(
            split=self.split,
            shuffle_files=file_seed is not None,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(
                {"image": True, "label": True}, {"image": tfds.decode.SkipDecoding()}
            ),
        ).map(lambda example: (example["image"], example["label"]))

    def padded_part(self, index: int, count: int, total: int):
        """Returns one of `count` equal parts of the images, padded to `total` by the last image.

        The part is as `encoded` returns it. The number of its images without padding follows.
        """
        size, images = total // count, len(self)
        first, end = (min(k * size, images) for k in (index, index + 1))
        part = self._part(images - 1, images).encoded().repeat(size - (end - first))
        if first < end:
            part = self._part(first, end).encoded().concatenate(part)
        return part, end - first

    def _read(self, k: int, mode: str):
        [(data, _)] = self.encoded().skip(k).take(1).as_numpy_iterator()
        return open_image(io.BytesIO(data), mode)

    def sample(self, count: int) -> "TFDSSource":
        """Returns the first `count` images. The stored order is random."""
        return self._part(0, min(count, len(self)))

    def _part(self, first: int, end: int) -> "TFDSSource":
        return TFDSSource(self.builder, self.name, self.start + first, self.start + end)
