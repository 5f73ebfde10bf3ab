"""Mean and deviation of a stream, in memory that does not grow."""

import numpy as np


class RunningStatistics:
    """Mean and standard deviation of vectors that come in batches.

    Batches are merged by their means and sums of squared deviations, which
    loses no digits where the mean is large beside the deviation.

    Reference:
        Chan, Golub, LeVeque, "Algorithms for computing the sample variance",
        The American Statistician 37 (1983).
    """

    def __init__(self):
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def update(self, values: np.ndarray) -> None:
        """Takes in a batch of shape `(batch, ...)`."""
        count, mean = len(values), values.mean(axis=0)
        total = self.count + count
        shift = mean - self.mean
        self._squares += ((values - mean) ** 2).sum(axis=0)
        self._squares += shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total

    def std(self, ddof: int = 0) -> np.ndarray:
        """The deviation; 0 for a single value."""
        return np.sqrt(self._squares / max(1, self.count - ddof))
