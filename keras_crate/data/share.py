"""The shard of a process: its rows of a batch in each step."""

import dataclasses

import numpy as np

from keras_crate.checks import check_positive


@dataclasses.dataclass(frozen=True)
class Share:
    """Cuts each batch into equal parts: one for each step, and in it one for each process."""

    batch_size: int  # of all steps and processes
    index: int = 0  # of this process
    count: int = 1  # of processes
    accumulate: int = 1  # steps that a batch is cut into

    @property
    def rows(self) -> int:
        """Images of this process in one step."""
        return self.batch_size // (self.count * self.accumulate)

    def rows_of(self, step: int) -> slice:
        """The rows of the batch that this process takes in a step."""
        first = (step % self.accumulate * self.count + self.index) * self.rows
        return slice(first, first + self.rows)

    def positions(self, steps: int) -> np.ndarray:
        """The places in the epoch's order of all images of this process, in its order."""
        first = (np.arange(steps) * self.count + self.index) * self.rows
        return (first[:, None] + np.arange(self.rows)).ravel()


def share_of_training(
    batch_size: int, images: int, shard: tuple[int, int] = (0, 1), accumulate: int = 1
) -> Share:
    """Returns the share of one process in training batches of at most all images."""
    index, count = check_shard(shard)
    batch_size = min(check_positive("batch_size", batch_size), images)
    check_positive("accumulate", accumulate)
    if batch_size % (count * accumulate):
        raise ValueError(
            f"A batch must be cut into {count * accumulate} equal parts, for {count} processes "
            f"and {accumulate} steps per update. Received: a batch of {batch_size} of {images:,} "
            "images. Choose another `batch_size`."
        )
    return Share(batch_size, index, count, accumulate)


def share_of_evaluation(
    batch_size: int, images: int, shard: tuple[int, int] = (0, 1), multiple_of: int = 1
) -> Share:
    """Returns the share of one process in evaluation batches, of sizes that are multiples."""
    index, count = check_shard(shard)
    if check_positive("multiple_of", multiple_of) % count:
        raise ValueError(
            f"`multiple_of` must be a multiple of the {count} processes of `shard`. Received: "
            f"multiple_of={multiple_of}"
        )
    batch_size = min(check_positive("batch_size", batch_size), padded(images, multiple_of))
    return Share(max(1, batch_size // multiple_of) * multiple_of, index, count)


def padded(images: int, multiple_of: int) -> int:
    """The number of images, rounded up to a multiple."""
    return -(-images // multiple_of) * multiple_of


def check_shard(shard) -> tuple[int, int]:
    """Returns a pair (index, count) of integers with 0 <= index < count."""
    is_pair = isinstance(shard, (tuple, list)) and len(shard) == 2
    if (
        not is_pair
        or any(type(value) is not int for value in shard)
        or not (0 <= shard[0] < shard[1])
    ):
        raise ValueError(
            "`shard` must be a pair (index, count) of integers, 0 <= index < count. Received: "
            f"shard={shard!r}"
        )
    return tuple(shard)
