"""The batches of one pass over data."""

from collections.abc import Iterable


def finite_batches(batches) -> Iterable:
    """Returns the batches of one pass. Iterating over a `PyDataset` itself does not end."""
    if hasattr(batches, "__getitem__"):
        return (batches[k] for k in range(len(batches)))
    return batches
