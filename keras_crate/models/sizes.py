"""The published sizes: tables of numbers, and their constructors."""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import NamedTuple

from keras_crate.models.options import document


class Size(NamedTuple):
    """One size of a family.

    Attributes:
        dim: Token width.
        depth: Number of blocks.
        heads: Number of subspaces.
        patch: Patch size by default.
        parameters: Their number at that patch, 224x224x3 and 1,000 classes.
        top1: ImageNet-1K accuracy in per cent by patch size, as reported by
            the authors (not measured here).
    """

    dim: int
    depth: int
    heads: int
    patch: int
    parameters: int
    top1: dict[int, float] = {}


SIZE_NAMES = ("Tiny", "Small", "Base", "Large", "Huge")
SIZES = {
    "CRATETiny": Size(384, 12, 6, 16, 6_090_856, {16: 66.7}),
    "CRATESmall": Size(576, 12, 12, 16, 13_116_328, {16: 69.2}),
    "CRATEBase": Size(768, 12, 12, 16, 22_796_008, {16: 70.8}),
    "CRATELarge": Size(1024, 24, 16, 16, 77_641_192, {16: 71.3}),
    "CRATEAlphaBase": Size(768, 12, 12, 16, 72_328_936, {8: 83.2, 16: 81.2, 32: 76.5}),
    "CRATEAlphaLarge": Size(1024, 24, 16, 14, 253_650_920, {8: 85.1, 14: 83.9, 32: 80.2}),
    "CRATEAlphaHuge": Size(1280, 32, 16, 14, 526_819_560),
    "CRATEMAETiny": Size(384, 12, 6, 16, 11_331_840),
    "CRATEMAESmall": Size(576, 12, 12, 16, 24_960_000),
    "CRATEMAEBase": Size(768, 12, 12, 16, 43_896_576),
    "CRATEMAELarge": Size(1024, 24, 16, 16, 153_023_232),
}


def family_of(constructor: str) -> str:
    """The family of a published size's constructor, such as `"CRATE"` of `"CRATEBase"`."""
    return next(constructor.removesuffix(s) for s in SIZE_NAMES if constructor.endswith(s))


def constructor_of(family: str, dim: int, depth: int) -> str | None:
    """The constructor of a family's published size, such as `"CRATEBase"`; None if it is none.

    Args:
        family: Name of the class, such as `"CRATE"`.
        dim: Token width.
        depth: Number of blocks.
    """
    for name in SIZE_NAMES:
        if SIZES.get(family + name, (0, 0))[:2] == (dim, depth):
            return family + name
    return None


# The constructors' first arguments, which may be given by position.
_FIRST = ("weights", "include_top", "input_shape", "patch_size", "classes", "pooling",
          "classifier_activation", "include_preprocessing", "dropout_rate", "class_names",
          "name")  # fmt: skip


def size_constructor(
    model_class: type, constructor: str, reference: str, trained: str = ""
) -> Callable:
    """The constructor of one row of `SIZES`.

    It takes all arguments of the class but the size's own, and its patch size.

    Args:
        model_class: The family's class.
        constructor: Its name in `SIZES`.
        reference: Where it was published.
        trained: How the authors' models with the reported accuracy came about.

    Returns:
        A function with signature and docstring.
    """
    size = SIZES[constructor]
    of_class = inspect.signature(model_class).parameters
    rest = [name for name in of_class if name not in (*_FIRST, "dim", "depth", "heads")]
    parameters = []
    for name in (*(name for name in _FIRST if name in of_class), *rest):
        parameter = of_class[name]
        kind = parameter.POSITIONAL_OR_KEYWORD if name in _FIRST else parameter.KEYWORD_ONLY
        default = {"patch_size": size.patch}.get(name, parameter.default)
        parameters.append(parameter.replace(kind=kind, default=default))
    signature = inspect.Signature(parameters, return_annotation=model_class)

    def build(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        bound.arguments["name"] = bound.arguments["name"] or snake_case(constructor)
        return model_class(dim=size.dim, depth=size.depth, heads=size.heads, **bound.arguments)

    build.__name__ = build.__qualname__ = constructor
    build.__module__ = model_class.__module__
    build.__signature__ = signature
    build.__doc__ = f"""{constructor}: width {size.dim}, {size.depth} blocks, {size.heads} heads.

{textwrap.indent(textwrap.fill(_facts(size, trained), width=76), "    ")}

    Args:
{document(signature.parameters, 8)}
        others: As in `{model_class.__name__}`.

    Returns:
        A `{model_class.__name__}` model, not compiled.

    Raises:
        ValueError: If an argument is out of range, or the weights belong to
            another model.
        FileNotFoundError: If there is no such weights file.

    Example:

    ```python
    model = keras_crate.{constructor}(input_shape=(32, 32, 3), patch_size=8)
    ```

    Reference:
        {reference}
    """
    return build


def _facts(size: Size, trained: str) -> str:
    """Parameters, and what the authors report, in words."""
    facts = f"{size.parameters:,} parameters at patch {size.patch} and 224x224x3. "
    if not size.top1:
        return facts + "No ImageNet-1K accuracy of this size is known here."
    values = [f"{top1} % (patch {patch})" for patch, top1 in sorted(size.top1.items())]
    return (
        facts + f"ImageNet-1K top-1{trained}, as reported by the authors: {', '.join(values)}. "
        "`keras-crate weights` lists the weights that exist."
    )


def snake_case(constructor: str) -> str:
    """The name of a constructor's models, such as `crate_alpha_base`."""
    return re.sub(
        r"(?<=[a-z])(?=[A-Z])|(?<=CRATE)(?=[A-Z])|(?<=MAE)(?=[A-Z])", "_", constructor
    ).lower()
