"""From what `weights=` says to weights on this machine."""

import datetime
import hashlib
import importlib.util
import os
import re
import types
import warnings
from pathlib import Path

import numpy as np
from filelock import FileLock

from keras_crate.data.open_data import TFDS_SPLITS
from keras_crate.files import (
    cache_folder,
    make_folder,
    read_record,
    sha256_of,
    write_record,
    written_whole,
)
from keras_crate.weights.tensor_files import CHECKPOINT_ENDINGS, check_readable, read_tensors
from keras_crate.hub.convert import convert, from_checkpoint
from keras_crate.weights.layouts import layout_of
from keras_crate.hub.pull import KERAS_FILES, keras_folder
from keras_crate.weights.variants import (
    MODEL_FILE,
    STATES,
    Variant,
    arrival_record,
    converted_file,
    is_cached,
    variants,
)
from keras_crate.weights.hub_files import SCHEME, Address, download, parse_address, snapshot
from keras_crate.hub.safety import check_keras_folder
from keras_crate.checks import is_number
from keras_crate.models.class_names import resolve_class_names
from keras_crate.models.weights_file import saved_config
from keras_crate.models.weights_source import WeightsSource

NAMESPACE = "keras-crate"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# Settings that a checkpoint does not tell: the user's are taken.
_NOT_IN_SHAPES = (
    "step_size", "penalty", "norm_pix_loss", "include_preprocessing", "mean", "std", "data_format",
)  # fmt: skip


def find(weights, model_class: type, settings: types.SimpleNamespace) -> WeightsSource | None:
    """Where the weights are that a constructor asks for; see `models.weights_source`."""
    text = os.fspath(weights)
    if text.startswith(SCHEME):
        folder, snap = keras_folder(parse_address(text))
        return WeightsSource(folder, str(snap), _settings_of(saved_config(folder), settings))
    path = Path(text)
    names = {name for v in variants().values() for name in (*v.names, v.name)}
    if _NAME.fullmatch(text) and (text in names or not path.exists()):
        variant = find_variant(text, model_class, settings)
        source = locate(variant)
        for known in (variant.arguments, saved_config(Path(source.path))):
            source.settings.update(_settings_of(known, settings))
        return source
    if path.is_dir() or (path.is_file() and _is_keras_file(path)):
        return WeightsSource(path, text, _settings_of(saved_config(path), settings))
    if path.is_file():
        return _converted_for(path, _family(model_class), settings)
    return None


def find_variant(name: str, model_class: type, settings: types.SimpleNamespace) -> Variant:
    """The variant that a name of weights stands for in a model.

    Raises:
        ValueError: If there is none; the error lists those of the architecture.
    """
    family = _family(model_class)
    fitting = [v for v in variants().values() if _fits(v, family, settings)]
    for variant in fitting:
        if name in (*variant.names, variant.name):
            return variant
    kin = [v for v in variants().values() if v.architecture[0] == family]
    advice = (
        f"For this size there are: {_listed(fitting)}."
        if fitting
        else f"None fits a {family} of {_size_of(settings)}. Those of the family: {_listed(kin)}."
        if kin
        else f"There are none for a {family}."
        + " Take the `encoder()` of a CRATEMAE with weights." * (family == "CRATEMAEEncoder")
    )
    raise ValueError(
        f'There are no weights "{name}" for this model, and no file of that name. {advice} '
        "`keras-crate weights` lists all. `weights` also takes the path of a file and "
        "`hf://user/repository`."
    )


def _family(model_class: type) -> str:
    """The name of the package's class that a model's class is, or is made of."""
    for one in model_class.__mro__:
        if one.__module__.startswith("keras_crate."):
            return one.__name__
    return model_class.__name__


def locate(variant: Variant) -> WeightsSource:
    """The weights of a variant on this machine, downloaded and converted where needed.

    Looked for in this order: in the package; in the cache; in our namespace on
    the Hub, or the namespace or folder that `KERAS_CRATE_HUB` names; in the
    authors' repository.

    Raises:
        FileNotFoundError: If they are in none of these places.
        ValueError: If what is there is not what it should be.
    """
    failures = []
    for place in (_shipped, _from_cache, _from_hub, _from_authors):
        try:
            source = place(variant)
        except OSError as error:
            failures.append(str(error))
            continue
        if source is not None:
            return source
    raise FileNotFoundError(_unavailable(variant, failures))


def _shipped(variant: Variant) -> WeightsSource | None:
    path = variant.folder / MODEL_FILE
    if not path.is_file():
        return None
    stated = variant.provenance["files"]["sha256"]
    if stated != sha256_of(path):
        raise ValueError(f"The weights file {path} is damaged: install the package again.")
    return WeightsSource(path, f"keras_crate's {variant.name}", sha256=stated)


def _from_cache(variant: Variant) -> WeightsSource | None:
    """The cache, unless another source is asked for; what came from the Hub lies in its cache."""
    return _converted(variant) if _hub_setting() == NAMESPACE else None


def _converted(variant: Variant) -> WeightsSource | None:
    """What the authors' file was converted into before."""
    path = converted_file(variant)
    source = _authors_file(variant)
    record = read_record(arrival_record(variant, source)) or {}
    if not path.is_file() or "converted" not in record:
        return None
    if sha256_of(path) != record["converted"]:
        warnings.warn(f"The cached weights {path} are damaged. They are made again.", stacklevel=2)
        path.unlink()
        return None
    return WeightsSource(path, f"{variant.name} ({source})", sha256=record["sha256"])


def _authors_file(variant: Variant) -> str:
    """The authors' file, or where PyTorch is missing the same model in a form without."""
    files = variant.provenance["files"]
    name = files["path"]
    if files.get("without_pytorch") and importlib.util.find_spec("torch") is None:
        name = files["without_pytorch"]
    return f"{SCHEME}{files['repository']}/{name}"


def _from_hub(variant: Variant) -> WeightsSource | None:
    setting = _hub_setting()
    if _names_folder(setting):
        folder = Path(setting).expanduser() / variant.name
        if all((folder / name).is_file() for name in KERAS_FILES):
            check_keras_folder(folder, str(folder))
            return WeightsSource(folder, str(folder))
        file = folder.with_suffix(".keras")
        if file.is_file():
            return WeightsSource(file, str(file))
        raise FileNotFoundError(f"the folder {setting} has neither {variant.name} nor {file.name}")
    address = parse_address(f"{SCHEME}{setting}/{variant.name}")
    first = read_record(arrival_record(variant, str(address))) or {}
    folder, snap = keras_folder(address._replace(revision=first.get("commit")))
    weights = snap.files[KERAS_FILES[-1]]
    digest = weights.sha256 or weights.git_id
    _check_arrival(variant, str(address), digest, snap.commit)
    return WeightsSource(folder, str(snap), sha256=weights.sha256)


def _from_authors(variant: Variant) -> WeightsSource | None:
    files = variant.provenance["files"]
    if not files.get("repository"):
        return None
    file = converted_file(variant)
    make_folder(file.parent)
    with FileLock(file.with_suffix(".lock")):  # two processes would mix one's file, other's hash
        converted = _converted(variant)
        if converted is not None:
            return converted
        source = _authors_file(variant)
        name = source.removeprefix(f"{SCHEME}{files['repository']}/")
        check_readable(name)
        snap = snapshot(Address(files["repository"], files["revision"]))
        path = download(snap, [name])[name]
        digest = sha256_of(path)
        if name == files["path"] and files["sha256"] not in (None, digest):
            raise ValueError(
                f"{source} is not the file that {variant.name} was made of: its SHA-256 is "
                f"{digest}, expected {files['sha256']}. Nothing was loaded."
            )
        _check_arrival(variant, source, digest, snap.commit)
        model = from_checkpoint(path, **_beside_shapes(variant.arguments))
        classes = variant.arguments.get("classes", 1000)
        if getattr(model.settings, "include_top", False) and model.settings.classes != classes:
            raise ValueError(
                f"{source} has {model.settings.classes} outputs, where {variant.name} has "
                f"{classes}. Nothing was loaded."
            )
        with written_whole(file) as unfinished:
            model.save(unfinished)
            hashed = sha256_of(unfinished)
        _note_arrival(variant, source, digest, snap.commit, converted=hashed)
    return WeightsSource(file, f"{variant.name} ({source})", sha256=digest)


def _beside_shapes(arguments: dict) -> dict:
    """Those of a variant's arguments that shapes do not tell, or that must fit them."""
    return {k: v for k, v in arguments.items() if k not in ("dim", "depth", "classes")}


def _check_arrival(variant: Variant, source: str, digest: str, commit: str) -> None:
    """Refuses a file that is not what first came from the same place; notes what comes first."""
    record = read_record(arrival_record(variant, source))
    if record is None:
        _note_arrival(variant, source, digest, commit)
    elif record["sha256"] != digest:
        raise ValueError(
            f"{source} has changed: when it first arrived, on {record['arrived']}, its hash was "
            f"{record['sha256'][:12]}..., and now it is {digest[:12]}.... Nothing was loaded. If "
            f"you know of the change, delete {arrival_record(variant, source)}."
        )


def _note_arrival(variant, source: str, digest: str, commit: str, **more) -> None:
    path = arrival_record(variant, source)
    today = datetime.date.today().isoformat()
    arrived = (read_record(path) or {}).get("arrived", today)
    record = {"source": source, "sha256": digest, "commit": commit, "arrived": arrived, **more}
    write_record(path, record)


def _hub_setting() -> str:
    """A namespace, or a folder."""
    setting = os.environ.get("KERAS_CRATE_HUB", "").removeprefix(SCHEME)
    if "://" in setting:
        raise ValueError(
            "KERAS_CRATE_HUB names a namespace of the Hub, such as keras-crate, or a folder; the "
            f"address of another server is HF_ENDPOINT's. Received: {setting}"
        )
    return setting or NAMESPACE


def _names_folder(setting: str) -> bool:
    # What nobody set is a namespace, whatever lies in the working folder.
    is_set = bool(os.environ.get("KERAS_CRATE_HUB"))
    return is_set and ("/" in setting or os.sep in setting or Path(setting).is_dir())


def _unavailable(variant: Variant, failures: list[str]) -> str:
    family = variant.architecture[0]
    had = [
        v
        for v in variants().values()
        if v.architecture[0] == family
        and (v.state in ("shipped", "published") or is_cached(v))
        and v.name != variant.name
    ]
    source = variant.provenance["source"]
    return (
        f"The weights {variant.name} cannot be had: {STATES[variant.state]}"
        + (f" ({source}). " if source else ". ")
        + "".join(f"Looked for: {failure.rstrip('.')}. " for failure in failures)
        + (f"Of a {family} there are: {_listed(had)}. " if had else f"No {family} can be had. ")
        + "If you have the authors' checkpoint, convert it by "
        f'`{convert_command(variant)}` and pass weights="{variant.name}.keras". '
        + _how_to_train(variant)
    )


def convert_command(variant: Variant) -> str:
    """The command that converts a copy of the authors' checkpoint."""
    heads = variant.architecture[3]
    mae = " --set penalty=LAMBDA" if variant.architecture[0] == "CRATEMAE" else ""
    return f"keras-crate convert FILE {variant.name}.keras --heads {heads}{mae}"


def _how_to_train(variant: Variant) -> str:
    """The command that would make the weights, where one does, and the recipe."""
    recipe = variant.provenance.get("recipe")
    if variant.architecture[0] == "CRATE" and variant.weights == "imagenet":
        return (
            "To make the weights, train the model on ImageNet-1K: "
            f"`keras-crate pretrain {variant.name} --data FOLDER`."
        )
    if variant.architecture[0] == "CRATE" and variant.weights in TFDS_SPLITS:
        source = variant.name.replace(variant.weights, "imagenet")
        return (
            "To make the weights, fine-tune the model's ImageNet-1K weights: `keras-crate finetune "
            f"--weights {source} --recipe {variant.weights}-paper`."
        )
    return f"How the authors made them: {recipe}" if recipe else ""


def _fits(variant: Variant, family: str, settings) -> bool:
    patch = tuple(int(n) for n in np.broadcast_to(settings.patch_size, 2))
    own = (family, settings.dim, settings.depth, settings.heads, patch)
    plain = all(
        getattr(settings, role, name) == name
        for role, name in (("compress", "mssa"), ("sparsify", "ista"))
    )
    return variant.architecture == own and (plain or family != "CRATE")


def _size_of(settings) -> str:
    return (
        f"width {settings.dim}, {settings.depth} blocks, {settings.heads} heads, patch "
        f"{settings.patch_size}"
    )


def _listed(some: list[Variant]) -> str:
    return ", ".join(f"{v.call()} ({STATES[v.state]})" for v in some) or "none"


def _settings_of(arguments: dict, settings) -> dict:
    """What the weights' model was made with, for the arguments that the user left at None."""
    names = ("epsilon", "mean", "std") if settings.include_preprocessing else ("epsilon",)
    known = {k: arguments[k] for k in names if _is_numbers(arguments.get(k))}
    classes = arguments.get("classes", 1000)
    names = arguments.get("class_names")
    if names and getattr(settings, "include_top", False) and settings.classes == classes:
        known["class_names"] = resolve_class_names(names, classes)
    return known


def _is_numbers(value) -> bool:
    return is_number(value) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(map(is_number, value))
    )


def _is_keras_file(path: Path) -> bool:
    """Whether it is Keras', by what it says of itself, or no checkpoint's name."""
    if path.suffix not in CHECKPOINT_ENDINGS:
        return True
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def _converted_for(path: Path, family: str, settings) -> WeightsSource:
    """A checkpoint of the authors, converted for a model of the same architecture."""
    tensors = read_tensors(path)
    layout = layout_of(tensors)
    if layout is not None and layout.family != family:
        raise ValueError(
            f"The weights in {path} belong to another model: they are {layout.title}, and this is "
            f"a {family}."
        )
    own = {k: getattr(settings, k) for k in _NOT_IN_SHAPES if hasattr(settings, k)}
    own |= {k: getattr(settings, k) for k in ("heads", "patch_size", "input_shape")}
    model = convert(tensors, str(path), own)
    name = hashlib.sha256(f"{sha256_of(path)} {own}".encode()).hexdigest()[:32]
    file = cache_folder() / "converted" / f"{name}.keras"
    with written_whole(file) as unfinished:
        model.save(unfinished)
    known = {"epsilon": model.settings.epsilon} if hasattr(model.settings, "epsilon") else {}
    return WeightsSource(file, str(path), known)
