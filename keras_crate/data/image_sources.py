"""Labelled images from wherever they lie: arrays, files, Hugging Face data sets, TensorFlow's."""

import dataclasses
import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.data.image_files import MODES, open_image
from keras_crate.extras import needed


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images to train on and images held out, with the classes' names.

    Attributes:
        name: Name of the data.
        train: The images to train on.
        validation: Those to measure on, or None.
        class_names: One name a class, or None where only their number is known.
        classes: Number of classes.
        source: Where the images come from, in a line.
    """

    name: str
    train: "ImageSource"
    validation: "ImageSource | None"
    class_names: tuple[str, ...] | None
    classes: int
    source: str


class ImageSource:
    """Base: images that can be had one by one, and their classes.

    Args:
        labels: Class of each image, integers from 0.
    """

    def __init__(self, labels: Sequence[int]):
        self.labels = np.asarray(labels, "int64")

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, k: int, mode: str):
        """Image `k` as Pillow has it.

        Args:
            k: From 0.
            mode: `"L"`, `"RGB"` or `"RGBA"`.

        Raises:
            ValueError: If it cannot be read; the message names it.
        """
        try:
            return self._image(k, mode)
        except Exception as error:  # decoders raise errors of many kinds
            raise ValueError(
                f"{self.describe(k)} cannot be read ({error}). Remove or replace it."
            ) from error

    def _image(self, k: int, mode: str):
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Channels of the images: 1, 3 or 4."""
        return 3

    def describe(self, k: int) -> str:
        """What image `k` is called in a message."""
        return f"Image {k}"

    def sample(self, count: int) -> "ImageSource":
        """Some of the images, always the same ones, in their order.

        Args:
            count: How many; all, if there are fewer.
        """
        order = np.random.default_rng(0).permutation(len(self))
        return self._subset(np.sort(order[:count]))

    def _subset(self, chosen: np.ndarray) -> "ImageSource":
        raise NotImplementedError


class ArraySource(ImageSource):
    """Images in one array.

    Args:
        images: `(n, height, width, channels)`, in [0, 255], of 1, 3 or 4 channels.
        labels: `(n,)`.

    Raises:
        ValueError: If they do not fit together, or pixels are out of range.
    """

    def __init__(self, images, labels):
        images, labels = np.asarray(images), np.asarray(labels)
        if images.ndim != 4 or images.shape[-1] not in MODES:
            raise ValueError(
                "Images must be of shape (n, height, width, channels), of 1, 3 or 4 channels. "
                f"Received: shape {images.shape}"
            )
        if labels.shape == (len(images), 1):
            labels = labels[:, 0]  # as keras.datasets gives them
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"Labels must be {len(images)} integers, one an image. Received: shape "
                f"{labels.shape}, {labels.dtype}"
            )
        if images.dtype != np.uint8:
            if len(images) and not (np.isfinite(images).all() and images.min() >= 0):
                raise ValueError("Pixels must be finite and in [0, 255]. Received: others")
            if len(images) and not 1 < images.max() <= 255:
                raise ValueError(
                    "Pixels must be in [0, 255], not rescaled. Received: a largest pixel of "
                    f"{images.max()}"
                )
            images = images.round().astype("uint8")
        super().__init__(labels)
        self.images = images

    def _image(self, k: int, mode: str):
        with needed("pillow", "Images need"):
            from PIL import Image
        pixels = self.images[k]
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert(mode)

    @property
    def channels(self) -> int:
        return self.images.shape[-1]

    def _subset(self, chosen: np.ndarray) -> "ArraySource":
        return ArraySource(self.images[chosen], self.labels[chosen])


class FileSource(ImageSource):
    """Images in files, read when they are needed.

    Args:
        files: The files.
        labels: Class of each.
    """

    def __init__(self, files: Sequence[Path], labels):
        super().__init__(labels)
        if not len(files):
            raise ValueError("`files` must name at least one image. Received: none")
        self.files = [Path(file) for file in files]

    def _image(self, k: int, mode: str):
        with needed("pillow", "Image files need"):
            return open_image(self.files[k], mode)

    def describe(self, k: int) -> str:
        return f"The image {self.files[k]}"

    def _subset(self, chosen: np.ndarray) -> "FileSource":
        return FileSource([self.files[k] for k in chosen], self.labels[chosen])


class HuggingFaceSource(ImageSource):
    """Images of a data set of Hugging Face's `datasets`.

    Args:
        dataset: A `datasets.Dataset`.
        image: Name of its column of images.
        label: Name of its column of classes.
    """

    def __init__(self, dataset, image: str, label: str):
        super().__init__(dataset[label])
        self.dataset, self.columns = dataset, (image, label)

    def _image(self, k: int, mode: str):
        from PIL import ImageOps

        return ImageOps.exif_transpose(self.dataset[int(k)][self.columns[0]]).convert(mode)

    @property
    def channels(self) -> int:
        return 1 if self.dataset[0][self.columns[0]].mode in ("1", "L") else 3

    def _subset(self, chosen: np.ndarray) -> "HuggingFaceSource":
        return HuggingFaceSource(self.dataset.select(chosen), *self.columns)


class TFDSSource(ImageSource):
    """A split of a data set of TensorFlow Datasets, read in its order.

    Args:
        builder: A `tfds.core.DatasetBuilder` that is prepared.
        split: Name of the split.
    """

    def __init__(self, builder, split: str):
        self.builder, self.split = builder, split

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Class of each image; reads the split through once."""
        return np.fromiter((int(label) for _, label in self.encoded()), "int64")

    def __len__(self) -> int:
        return self._count

    @functools.cached_property
    def _count(self) -> int:
        number = int(self.encoded().cardinality())
        return number if number >= 0 else sum(1 for _ in self.encoded())

    def encoded(self):
        """A `tf.data.Dataset` of pairs: an image as it is stored, encoded, and its class."""
        with needed("tensorflow-datasets", "TensorFlow's data sets need"):
            import tensorflow_datasets as tfds
        return self.builder.as_dataset(
            split=self.split,
            decoders=tfds.decode.PartialDecoding(
                {"image": True, "label": True}, {"image": tfds.decode.SkipDecoding()}
            ),
        ).map(lambda example: (example["image"], example["label"]))

    def _image(self, k: int, mode: str):
        [(data, _)] = self.encoded().skip(k).take(1).as_numpy_iterator()
        return decode(data, mode)

    def describe(self, k: int) -> str:
        return f"Image {k} of {self.builder.name}, split {self.split}"

    @property
    def channels(self) -> int:
        return self.builder.info.features["image"].shape[-1] or 3

    def sample(self, count: int) -> "TFDSSource":
        # The first ones: sets are shuffled when they are stored.
        return TFDSSource(self.builder, f"{self.split}[:{count}]")


def decode(data: bytes, mode: str):
    """An image as Pillow has it, from the bytes of a file.

    Args:
        data: The bytes.
        mode: `"L"`, `"RGB"` or `"RGBA"`.
    """
    with needed("pillow", "Images need"):
        return open_image(io.BytesIO(data), mode)
