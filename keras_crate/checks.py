"""Checks of arguments, used where a user passes them."""

import difflib
import functools
import inspect
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, overload

import numpy as np

F = TypeVar("F", bound=Callable)
# Keras' layers take these, and their signatures do not show it.
_OF_KERAS_LAYERS = {"input_shape", "input_dim"}
# Names of other libraries, which are too far from ours for `did_you_mean`.
_ELSEWHERE = {
    "embed_dim": "dim", "global_pool": "pooling", "img_size": "input_shape",
    "in_chans": "input_shape", "lr": "learning_rate", "pretrained": "weights",
}  # fmt: skip
MOST = 2**31 - 1  # the backends count in integers of 32 bits
MOST_PIXELS = 89_478_485  # of an image: Pillow's limit, above which pictures are not read


@overload
def names_arguments(function: F) -> F: ...
@overload
def names_arguments(
    *, options: Sequence[Callable] = (), inside: Mapping[str, Callable] | None = None
) -> Callable[[F], F]: ...
def names_arguments(function=None, *, options=(), inside=None):
    """Decorates a function or class: the error for an unknown argument names the nearest one.

    `options` are what the function passes its `**options` to. `inside` has classes by
    the name of the argument that takes their objects. For `finetune(model, epochs=1)`,
    the error advises to pass `recipe=Recipe(epochs=1)`.
    """
    inside = inside or {}
    if function is None:
        return functools.partial(names_arguments, options=options, inside=inside)
    if inspect.isclass(function):
        function.__init__ = names_arguments(function.__init__, options=options, inside=inside)
        return function
    signature = inspect.signature(function)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    own = argument_names(function)
    is_constructor = function.__name__ == "__init__"

    def refuse(name: str, value, arguments: tuple) -> None:
        known = own.union(*map(argument_names, options))
        title = function.__qualname__
        if is_constructor:  # it may be a base's
            title = type(arguments[0]).__name__
            known |= argument_names(type(arguments[0])) | _OF_KERAS_LAYERS
        if name in known or (open_ended and not options and not is_constructor):
            return
        places = [where for where in inside if name in argument_names(inside[where])]
        if places:
            advice = f"{places[0]}={inside[places[0]].__name__}({name}={value!r})"
            raise TypeError(
                f"{title} has no argument `{name}`. Pass it inside `{places[0]}`: {advice}"
            )
        known = known.union(*map(argument_names, inside.values()))
        raise TypeError(f"{title} has no argument `{name}`{did_you_mean(name, sorted(known))}")

    @functools.wraps(function)
    def call(*args, **kwargs):
        for name, value in kwargs.items():
            if name not in own:
                refuse(name, value, args)
        return function(*args, **kwargs)

    # Keras does not follow `__wrapped__` when it reads a model's signature.
    setattr(call, "__signature__", signature)  # noqa: B010
    return call


def argument_names(function: Callable) -> set[str]:
    """Returns the names of a function's arguments, without `self`, `*args` and `**kwargs`.

    A class also has the arguments of the bases that it passes `**kwargs` on to.
    """
    constructors = [function]
    if inspect.isclass(function):
        constructors = [b.__init__ for b in function.__mro__ if "__init__" in vars(b)]
    names: set[str] = set()
    for constructor in constructors:
        parameters = inspect.signature(constructor).parameters.values()
        names |= {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names - {"self"}


def is_positive_integer(value) -> bool:
    """Whether a value is an integer of Python or NumPy, above 0 and of at most 32 bits."""
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return is_integer and 0 < value <= MOST


def is_image_size(height, width) -> bool:
    """Whether two values are the sides of an image that can be read."""
    are_sides = is_positive_integer(height) and is_positive_integer(width)
    return are_sides and int(height) * int(width) <= MOST_PIXELS


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
    # Not by `np.isfinite`, which does not take integers of more than 64 bits.
    return is_real and not isinstance(value, bool) and bool(abs(value) <= sys.float_info.max)


def check_positive(name: str, value) -> int:
    """Returns a positive integer as an int, and refuses other values."""
    if not is_positive_integer(value):
        too_large = f" of at most {MOST:,}" if is_number(value) and value > MOST else ""
        raise ValueError(
            f"`{name}` must be a positive integer{too_large}. Received: {name}={value!r}"
        )
    return int(value)


def check_count(name: str, value) -> int:
    """Returns an integer of 0 or more as an int, and refuses other values."""
    if value == 0 and not isinstance(value, bool):
        return 0
    if not is_positive_integer(value):
        raise ValueError(f"`{name}` must be an integer of 0 or more. Received: {name}={value!r}")
    return int(value)


def check_rate(name: str, value) -> float:
    """Returns a number in [0, 1) as a float, and refuses other values."""
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(f"`{name}` must be in [0, 1). Received: {name}={value!r}")
    return float(value)


def check_above_zero(name: str, value) -> float:
    """Returns a finite number above 0 as a float, and refuses other values."""
    if not (is_number(value) and value > 0):
        raise ValueError(f"`{name}` must be a number above 0. Received: {name}={value!r}")
    return float(value)


def check_not_negative(name: str, value) -> float:
    """Returns a finite number of 0 or more as a float, and refuses other values."""
    if not (is_number(value) and value >= 0):
        raise ValueError(f"`{name}` must be a number of 0 or more. Received: {name}={value!r}")
    return float(value)


def check_boolean(name: str, value) -> None:
    """Refuses values other than True and False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def check_choice(name: str, value, choices: Iterable[str]) -> str:
    """Returns the value if it is one of the choices. Otherwise, the error names the nearest."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: "
            f"{name}={value!r}{did_you_mean(value, choices)}"
        )
    return value


def some_names(names: Iterable) -> str:
    """Lists names of a file for a message: at most 8, and no control characters."""
    shown = [repr(str(name)[:40]) for name in itertools.islice(names, 9)]
    return ", ".join(shown[:8] + ["..."] * (len(shown) > 8)) or "nothing"


def did_you_mean(word, known: Iterable[str]) -> str:
    """Returns a question with similar known words, to append to an error; empty without any."""
    known = list(known)
    near = [_ELSEWHERE[str(word)]] if _ELSEWHERE.get(str(word)) in known else None
    near = near or difflib.get_close_matches(str(word), known, n=2)
    return f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
