"""Checks of arguments, used where a user passes them."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


def names_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Decorates a function so that the error for an unknown argument names the nearest one."""
    known = [name for name in inspect.signature(function).parameters if name != "self"]
    title = function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        unknown = next((name for name in kwargs if name not in known), None)
        if unknown is not None:
            raise TypeError(f"{title} has no argument `{unknown}`{did_you_mean(unknown, known)}")
        return function(*args, **kwargs)

    # Keras does not follow `__wrapped__` when it reads a model's signature.
    setattr(call, "__signature__", inspect.signature(function))  # noqa: B010
    return call


def is_positive_integer(value) -> bool:
    """Whether a value is an integer of Python or NumPy, above 0."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and value > 0


def as_pair(value, name: str) -> tuple[int, int]:
    """Returns a positive integer, or a pair of them, as a pair; `name` is for the error."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(map(is_positive_integer, pair)):
        raise ValueError(
            f"`{name}` must be a positive integer or a pair (height, width) of them. "
            f"Received: {name}={value!r}"
        )
    return tuple(map(int, pair))


def is_number(value) -> bool:
    """Whether a value is a finite number of Python or NumPy."""
    is_real = isinstance(value, (int, float, np.integer, np.floating))
    return is_real and not isinstance(value, bool) and bool(np.isfinite(value))


def check_positive(name: str, value) -> int:
    """Returns the value as an int.

    Raises:
        ValueError: If it is not a positive integer.
    """
    if not is_positive_integer(value):
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return int(value)


def check_rate(name: str, value) -> float:
    """Returns a rate as a float.

    Raises:
        ValueError: If it is not a number in [0, 1).
    """
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"`{name}` must be in [0, 1). Received: {name}={value!r}")
    return float(value)


def check_above_zero(name: str, value) -> float:
    """Returns a number as a float.

    Raises:
        ValueError: If it is not a finite number above 0.
    """
    if not (is_number(value) and value > 0):
        raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}")
    return float(value)


def check_not_negative(name: str, value) -> float:
    """Returns a number as a float.

    Raises:
        ValueError: If it is not a finite number of 0 or more.
    """
    if not (is_number(value) and value >= 0):
        raise ValueError(f"`{name}` must be a number of 0 or more. Received: {name}={value!r}")
    return float(value)


def check_choice(name: str, value, choices: Iterable[str]) -> str:
    """Returns the value.

    Raises:
        ValueError: If it is not one of the choices. The error names the nearest.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: "
            f"{name}={value!r}{did_you_mean(value, choices)}"
        )
    return value


def did_you_mean(word, known: Iterable[str]) -> str:
    """Returns a question with similar known words, to append to an error; empty without any."""
    near = difflib.get_close_matches(str(word), list(known), n=2)
    return f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
