"""Images of TensorFlow Datasets in ArrayRecord files, read without TensorFlow."""

import functools
import io

import numpy as np

from keras_crate.data.image_files import open_image
from keras_crate.data.image_sources import BuilderSource


class ArrayRecordSource(BuilderSource):
    """A split of a `tfds.core.DatasetBuilder` that was prepared as ArrayRecord, or a part of it.

    Unlike in TFRecord files, any record can be read by its number.
    """

    def __init__(self, builder, split: str, chosen: np.ndarray | None = None):
        import tensorflow_datasets as tfds

        super().__init__(builder, split)
        self.records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        self.chosen = np.arange(len(self.records)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self.chosen)

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Class of each image. The first access reads all records."""
        return np.array([self.records[int(k)]["label"] for k in self.chosen], "int64")

    def _read_labelled(self, k: int, mode: str):
        record = self.records[int(self.chosen[k])]
        return open_image(io.BytesIO(record["image"]), mode), record["label"]

    def describe(self, k: int) -> str:
        return super().describe(self.chosen[k])

    def _part(self, first: int, end: int) -> "ArrayRecordSource":
        return self._subset(np.arange(first, end))

    def _subset(self, chosen: np.ndarray) -> "ArrayRecordSource":
        return ArrayRecordSource(self.builder, self.split, self.chosen[chosen])
