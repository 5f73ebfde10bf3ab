"""What counts as a number in an argument."""

import numpy as np


def is_positive_integer(value) -> bool:
    """Whether it is an integer of Python or NumPy, and above 0."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and value > 0


def is_number(value) -> bool:
    """Whether it is a finite number of Python or NumPy."""
    is_real = isinstance(value, (int, float, np.integer, np.floating))
    return is_real and not isinstance(value, bool) and bool(np.isfinite(value))
