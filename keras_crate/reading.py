"""Reads text, JSON and TOML: within bounds, and with errors that name the file."""

import importlib
import json
import os
import sys
from collections.abc import Mapping

MOST_BYTES = 8 * 2**20  # JSON of this size takes up to 200 MB as objects of Python
# Of a recipe. For a key of n parts, the parser of TOML needs memory for n * n / 2 parts.
_MOST_TOML, _MOST_PARTS = 2**16, 100
# The parsers, and whoever walks through the values, call themselves for each level.
_DEEPEST = 64
_BITS = 64  # of an integer, as NumPy has them
_NAMES = {dict: "values by name", list: "a list", str: "text", int: "an integer"}


def read_text(file: str | os.PathLike, most: int = MOST_BYTES) -> str:
    """Returns the content of a text file in UTF-8."""
    return _parsed(_content(file, most), file, lambda text: text, most)


def read_json(
    file: str | os.PathLike,
    kind: type = dict,
    has: Mapping[str, type] | None = None,
    most: int = MOST_BYTES,
    name: str | None = None,
):
    """Returns the content of a JSON file of this `kind`, or with values of the types in `has`.

    Errors call it `name`, by default the path.
    """
    return parse_json(_content(file, most), name or file, kind, has, most)


def parse_json(content: bytes | str, name, kind: type = object, has=None, most: int = MOST_BYTES):
    """As `read_json`, for content that was already read; `name` is for the error."""
    values = _parsed(content, name, _bounded(json.loads), most)
    for key, wanted in {"": kind}.items() if has is None else has.items():
        found = values if not key else values.get(key) if isinstance(values, dict) else None
        if not isinstance(found, wanted):
            where = f" under {key!r}" if key else ""
            raise ValueError(
                f"{name} must hold {_NAMES.get(wanted, wanted.__name__)}{where}. Received: "
                f"{'nothing' if found is None else type(found).__name__}"
            )
    return values


def parse_value(name: str, text: str):
    """Reads a value of a command line: JSON, or else a word."""
    try:
        return parse_json(text, f"The value of {name}")
    except ValueError:
        if text.startswith(("[", "{")):
            raise
        return text


def read_toml(file: str | os.PathLike) -> dict:
    """Returns the content of a TOML file."""
    # Imported here: importing the package must add nothing to what Keras imports.
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

    def parse(text: str) -> dict:
        if any(line.count(".") > _MOST_PARTS for line in text.split("\n")):
            raise ValueError(f"a line has more than {_MOST_PARTS} dots")
        return tomllib.loads(text)

    return _parsed(_content(file, _MOST_TOML), file, _bounded(parse), _MOST_TOML)


def _content(file: str | os.PathLike, most: int) -> bytes:
    with open(file, "rb") as opened:
        return opened.read(most + 1)  # its size is not asked for: a device has none


def _parsed(content: bytes | str, name, parse, most: int):
    try:
        if len(content) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        return parse(text)
    except (ValueError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        reason = f"it is nested more than {_DEEPEST} levels deep" if nested else error
        raise ValueError(f"{name} cannot be read: {reason}.") from error


def _bounded(parse):
    """Returns a parser that refuses what is nested deeply, and integers of many digits."""

    def parsed(text: str):
        values = parse(text)
        level = [[values]]
        for _ in range(_DEEPEST):
            parts = [p for of in level for p in (of.values() if isinstance(of, dict) else of)]
            if any(isinstance(part, int) and part.bit_length() > _BITS for part in parts):
                raise ValueError(f"it has an integer of more than {_BITS} bits")
            level = [part for part in parts if isinstance(part, (dict, list))]
            if not level:
                return values
        raise RecursionError

    return parsed
