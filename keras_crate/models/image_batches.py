"""Batches of images, from an array or any iterable of batches."""

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_crate.checks import check_positive


def image_batches(images, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of images as NumPy arrays, with one batch in memory at a time.

    `images` is an array, which is cut into batches, or an iterable of batches: a
    `tf.data.Dataset`, a `PyDataset`, a `DataLoader`, a generator. A batch is an array,
    or a tuple that starts with one.
    """
    if hasattr(images, "shape"):
        starts = range(0, len(images), batch_size)
        batches = (images[start : start + batch_size] for start in starts)
    elif isinstance(images, keras.utils.PyDataset):
        batches = (images[index] for index in range(len(images)))
    else:
        batches = iter(images)
    for batch in batches:
        if isinstance(batch, (tuple, list)):
            batch = batch[0]
        if isinstance(batch, dict):
            raise ValueError(
                "A data set must yield batches of images, alone or first in a tuple. Received: a "
                f"dict with keys {list(batch)}. Map it to its images first."
            )
        # A data set may yield tensors of another library than the backend's.
        is_own = keras.ops.is_tensor(batch)
        yield keras.ops.convert_to_numpy(batch) if is_own else np.asarray(batch)


def number_of_batches(images, batch_size: int) -> int | None:
    """Returns how many batches `image_batches` yields, or None if that is unknown."""
    check_positive("batch_size", batch_size)
    some = any(hasattr(images, name) for name in ("shape", "__iter__", "__getitem__"))
    if not some or isinstance(images, (str, bytes, Mapping)):
        raise ValueError(
            "`images` must be an array of shape (n, height, width, channels), or an iterable of "
            f"batches. Received: an object of type {type(images).__name__}.\n"
            "An image of Pillow becomes a batch of one by `numpy.asarray(image)[None]`."
        )
    if hasattr(images, "shape"):
        return -(-len(images) // batch_size)
    try:
        return len(images)
    except TypeError:
        return None
