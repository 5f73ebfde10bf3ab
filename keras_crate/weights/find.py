"""Finds the weights that `weights=` names, and downloads them where needed."""

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path

from keras_crate.checks import did_you_mean
from keras_crate.weights.hub_files import SCHEME, download_file, parse_address
from keras_crate.weights.repository import repository_on_hub
from keras_crate.weights.sizes import SIZES
from keras_crate.weights.tensor_files import check_readable, needs_pytorch
from keras_crate.weights.variants import STATES, Architecture, Variant, variants

# What the constructors' `weights` takes.
WeightsArgument = str | os.PathLike | Mapping | None
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_OFFERED = 3  # other weights in an error message


@dataclasses.dataclass(frozen=True)
class Found:
    """Weights on this machine."""

    source: Path | Mapping  # what `open_tensors` takes
    origin: str  # what to call it in messages
    # Arguments that the weights were trained with, and `evaluation`, as the registry has them.
    settings: dict = dataclasses.field(default_factory=dict)


def find(weights, architecture: Architecture | None) -> Found:
    """Finds the weights that the `weights` argument of a constructor names.

    `architecture` is None if no variant has the model's operators.
    """
    if isinstance(weights, Mapping):
        return Found(weights, "the dictionary")
    if not isinstance(weights, (str, os.PathLike)):
        raise ValueError(
            "`weights` must be a name, a path, hf://user/repository or a dictionary of tensors. "
            f"Received: weights={weights!r}"
        )
    text = os.fspath(weights)
    if text.startswith(SCHEME):
        repository = repository_on_hub(parse_address(text))
        if repository.safetensors() is None:
            repository.hdf5()
        return Found(repository.folder, repository.origin)
    registered = any(text in variant.names for variant in variants().values())
    if registered or (_NAME.fullmatch(text) and not os.path.exists(text)):
        return fetch(find_variant(text, architecture))
    return Found(Path(text), text)


def find_variant(name: str, architecture: Architecture | None) -> Variant:
    """Returns the variant of an architecture by its name or by the name of its data."""
    fitting = [v for v in variants().values() if v.architecture == architecture]
    for variant in fitting:
        if name in variant.names:
            return variant
    question = did_you_mean(name, [known for v in fitting for known in v.names]) or "."
    raise ValueError(
        f"There are no weights {name!r} for this model, and no file of that name{question} "
        f"The model: {architecture or 'one with operators of its own'}.\n"
        f"{_offer(architecture, (name,))}\n"
        "`weights` also takes the path of a file and hf://user/repository."
    )


def fetch(variant: Variant) -> Found:
    """Returns the weights of a variant, downloaded where needed."""
    settings = {**variant.arguments, "evaluation": variant.evaluation}
    if variant.state == "shipped":
        path = variant.shipped_file
        return Found(path, f"{variant.name} of the package", settings)
    if variant.state != "published":
        raise FileNotFoundError(
            f"The variant {variant.name} cannot be loaded: {STATES[variant.state]}"
            f"{f' ({variant.source})' if variant.source else ''}.\n"
            f"{_offer(variant.architecture, variant.weights)}\n{_how_to_get(variant)}"
        )
    name, sha256 = variant.file, variant.sha256
    if needs_pytorch(name) and variant.file_without_pytorch and not _has_pytorch():
        name, sha256 = variant.file_without_pytorch, None
    check_readable(name)
    path = download_file(variant.address, name, sha256)
    # The epsilon of the form without PyTorch comes from its layout.
    return Found(path, f"{variant.name} ({variant.address}/{name})", settings)


def _has_pytorch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _offer(architecture: Architecture | None, names: tuple[str, ...]) -> str:
    """Names other weights that can be loaded, the most similar first."""
    family = architecture.family if architecture else None
    loadable = [v for v in variants().values() if v.state in ("shipped", "published")]
    loadable.sort(
        key=lambda v: (
            v.architecture != architecture,
            not set(names) & set(v.names),
            v.architecture.family != family,
            v.name,
        )
    )
    calls = "; ".join(v.call().removeprefix("keras_crate.") for v in loadable[:_OFFERED])
    return f"Weights that can be loaded: {calls}. `keras-crate weights` lists all."


def _how_to_get(variant: Variant) -> str:
    if variant.state == "by hand":
        heads = variant.architecture.heads
        return f"To use a copy: `keras-crate convert FILE {variant.name}.keras --heads {heads}`."
    if variant.weights[0] == "imagenet":
        size = variant.constructor if variant.constructor in SIZES else variant.name
        return f"To train them: `keras-crate pretrain {size} --data FOLDER`."
    start = variant.name.replace(variant.weights[0], "imagenet")
    return (
        f"To train them: `keras-crate finetune --weights {start} --recipe {variant.recipe}`."
        if variant.recipe
        else ""
    )
