"""Images batch by batch, from whatever holds them."""

from collections.abc import Iterator

import keras
import numpy as np

from keras_crate.models import checks


def image_batches(images, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of images as NumPy arrays, one in memory at a time.

    Args:
        images: An array or tensor of images, which is cut into batches; or
            what yields batches of images, alone or first in a tuple: a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, a PyTorch
            `DataLoader`, a generator.
        batch_size: Images at a time, of an array; >= 1.

    Raises:
        ValueError: If the batch size is not positive, or a batch is no array.
    """
    checks.check_positive("batch_size", batch_size)
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
        yield batch if isinstance(batch, np.ndarray) else _to_numpy(batch)


def number_of_batches(images, batch_size: int) -> int | None:
    """How many batches `image_batches` yields, or None if nobody knows."""
    checks.check_positive("batch_size", batch_size)
    if hasattr(images, "shape"):
        return -(-len(images) // batch_size)
    try:
        return len(images)
    except TypeError:
        return None


def _to_numpy(batch) -> np.ndarray:
    # A data set may give tensors of another library than the backend's.
    if keras.ops.is_tensor(batch):
        return keras.ops.convert_to_numpy(batch)
    return np.asarray(batch)
