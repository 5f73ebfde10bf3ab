"""Widths, blocks and heads of the published sizes. `models` has their constructors."""

import re
from typing import NamedTuple


class Size(NamedTuple):
    """One published size: width, blocks, heads, side of a patch, and number of parameters.

    The number is for 224x224x3 pixels and 1,000 classes, without running statistics.
    """

    dim: int
    depth: int
    heads: int
    patch: int
    parameters: int


SIZES = {
    "CRATETiny": Size(384, 12, 6, 16, 6_090_856),
    "CRATESmall": Size(576, 12, 12, 16, 13_116_328),
    "CRATEBase": Size(768, 12, 12, 16, 22_796_008),
    "CRATELarge": Size(1024, 24, 16, 16, 77_641_192),
    "CRATEAlphaBase": Size(768, 12, 12, 16, 72_328_936),
    "CRATEAlphaLarge": Size(1024, 24, 16, 14, 253_650_920),
    "CRATEAlphaHuge": Size(1280, 32, 16, 14, 526_819_560),
    "CBTTiny": Size(192, 12, 3, 16, 1_789_192),
    "CBTSmall": Size(384, 12, 6, 16, 6_667_048),
    "CBTBase": Size(768, 12, 12, 16, 25_691_752),
    "CBTLarge": Size(1024, 24, 16, 16, 83_051_368),
    "CRATEMAETiny": Size(384, 12, 6, 16, 11_331_840),
    "CRATEMAESmall": Size(576, 12, 12, 16, 24_960_000),
    "CRATEMAEBase": Size(768, 12, 12, 16, 43_896_576),
    "CRATEMAELarge": Size(1024, 24, 16, 16, 153_023_232),
}


def family_of(constructor: str) -> str:
    """The family of a published size, such as `"CRATE"` for `"CRATEBase"`."""
    return re.sub("(Tiny|Small|Base|Large|Huge)$", "", constructor)


def constructor_of(family: str, dim: int, depth: int) -> str | None:
    """The constructor of a published size, such as `"CRATEBase"`; None if there is none."""
    for constructor, size in SIZES.items():
        if family_of(constructor) == family and (size.dim, size.depth) == (dim, depth):
            return constructor
    return None


def snake_case(constructor: str) -> str:
    """The constructor's name in snake case, such as `crate_alpha_base`."""
    words = r"(?<=[a-z])(?=[A-Z])|(?<=CRATE)(?=[A-Z])|(?<=MAE|CBT)(?=[A-Z])"
    return re.sub(words, "_", constructor).lower()
