"""Recipes: how a model is trained, as data."""

import dataclasses
import difflib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import keras

from keras_crate.checks import is_number, is_positive_integer
from keras_crate.data import Augmentation
from keras_crate.data.image_files import check_interpolation

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent / "recipes"
OPTIMIZERS = ("lion", "adamw", "sgd")
LOSSES = ("categorical_crossentropy", "binary_crossentropy")
NO_DECAY = ("norms", "biases", "positions", "dictionaries")
WHOLE = "whole"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained, in numbers.

    Attributes:
        description: What it is for.
        dataset: What it trains on unless told otherwise, as
            `keras_crate.data.open_data` takes it.
        image_size: Side of the images in pixels, or None for the model's.
        epochs: Passes over the images.
        warmup_epochs: Of these, those of a growing learning rate.
        batch_size: Images a step.
        optimizer: `"lion"`, `"adamw"` or `"sgd"`.
        learning_rate: The highest; a cosine decay follows.
        final_learning_rate: What it decays to.
        beta_1: Decay of the first moment, or SGD's momentum.
        beta_2: Decay of the second moment; of Lion, that of its momentum.
        weight_decay: Decoupled weight decay.
        no_decay: What is not decayed, of `"norms"` (scales and offsets of
            normalisations, layer scales, temperatures), `"biases"`,
            `"positions"` (positions, class token) and `"dictionaries"`.
        layer_decay: Factor in (0, 1] of the learning rate from each block to
            the one before it; 1 for the same in all.
        clip_norm: Largest norm of the whole gradient, or None.
        ema: Momentum in (0, 1) of the moving average of the weights, which is
            what is then measured and saved; or None.
        loss: `"categorical_crossentropy"`, or `"binary_crossentropy"` of a
            sigmoid a class.
        label_smoothing: Share of a label spread over all classes.
        drop_path_rate: Of the model, or None for its own.
        dropout_rate: The same.
        precision: Keras' dtype policy, such as `"mixed_bfloat16"`, or None for
            the model's.
        train_only: `"head"` to leave all else as it is, or None.
        crop_area, crop_ratio, interpolation, flip: As in
            `keras_crate.data.Augmentation`.
        rand_augment, random_erasing, mixup, cutmix: The same.
        evaluation_crop: What of the shorter side of a held-out image the model
            sees, in (0, 1]: 0.875 cuts 224 pixels from the centre of 256; or
            `"whole"` to resize the whole image.
        evaluation_interpolation: As in `keras_crate.data.ImageFiles`.

    Raises:
        ValueError: If one is out of range.

    Example:

    ```python
    recipe = keras_crate.training.Recipe(epochs=20, optimizer="lion", learning_rate=1e-4)
    ```
    """

    description: str = ""
    dataset: str | None = None
    image_size: int | None = None
    epochs: int = 150
    warmup_epochs: int = 0
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    weight_decay: float = 0.05
    no_decay: tuple[str, ...] = ()
    layer_decay: float = 1.0
    clip_norm: float | None = None
    ema: float | None = None
    loss: str = "categorical_crossentropy"
    label_smoothing: float = 0.0
    drop_path_rate: float | None = None
    dropout_rate: float | None = None
    precision: str | None = None
    train_only: str | None = None
    crop_area: tuple[float, float] | None = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    flip: bool = True
    rand_augment: tuple[int, float] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    evaluation_crop: float | str = 0.875
    evaluation_interpolation: str = "bilinear"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))
        for name, valid, accepted in self._rules():
            if not valid:
                raise ValueError(f"`{name}` must be {accepted}. Received: {getattr(self, name)!r}")
        check_interpolation(self.evaluation_interpolation)
        self.augmentation()

    def _rules(self):
        """Name, whether it is right, and what is."""
        for name in ("epochs", "batch_size"):
            yield name, is_positive_integer(getattr(self, name)), "a positive integer"
        size = self.image_size
        yield "image_size", size is None or is_positive_integer(size), "a positive integer or None"
        text = self.dataset is None or isinstance(self.dataset, str)
        yield "dataset", text, "a name, a folder or None"
        yield "warmup_epochs", _in(self.warmup_epochs, 0, self.epochs), "in [0, epochs]"
        yield "optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"
        yield "loss", self.loss in LOSSES, f"one of {', '.join(LOSSES)}"
        rate = is_number(self.learning_rate) and self.learning_rate > 0
        yield "learning_rate", rate, "above 0"
        final = rate and _in(self.final_learning_rate, 0, self.learning_rate)
        yield "final_learning_rate", final, "in [0, learning_rate]"
        for name in ("beta_1", "beta_2", "label_smoothing"):
            value = getattr(self, name)
            yield name, is_number(value) and 0 <= value < 1, "in [0, 1)"
        decay = self.weight_decay
        yield "weight_decay", is_number(decay) and decay >= 0, "0 or more"
        groups = isinstance(self.no_decay, tuple) and set(self.no_decay) <= set(NO_DECAY)
        yield "no_decay", groups, f"a list of {', '.join(NO_DECAY)}"
        decay = self.layer_decay
        yield "layer_decay", is_number(decay) and 0 < decay <= 1, "in (0, 1]"
        clip = self.clip_norm
        yield "clip_norm", clip is None or (is_number(clip) and clip > 0), "above 0 or None"
        ema = self.ema
        yield "ema", ema is None or (is_number(ema) and 0 < ema < 1), "in (0, 1) or None"
        for name in ("drop_path_rate", "dropout_rate"):
            value = getattr(self, name)
            yield name, value is None or _in(value, 0, 0.999), "in [0, 1) or None"
        yield "precision", _is_policy(self.precision), "the name of a Keras dtype policy or None"
        yield "train_only", self.train_only in (None, "head"), '"head" or None'
        crop = self.evaluation_crop
        crops = crop == WHOLE or (is_number(crop) and 0 < crop <= 1)
        yield "evaluation_crop", crops, f'in (0, 1] or "{WHOLE}"'

    def augmentation(self) -> Augmentation:
        """What is done to the images."""
        names = [field.name for field in dataclasses.fields(Augmentation)]
        return Augmentation(**{name: getattr(self, name) for name in names})

    def to_dict(self) -> dict:
        """The settings as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def with_changes(self, **changes) -> "Recipe":
        """The recipe with other settings.

        Fewer epochs than those of the warm-up shorten it, unless it is given.

        Args:
            **changes: Settings by name.

        Raises:
            ValueError: If there is no such setting, or one is out of range.
        """
        _check_names(changes, "The change")
        if "warmup_epochs" not in changes and is_number(changes.get("epochs")):
            changes["warmup_epochs"] = min(self.warmup_epochs, changes["epochs"])
        if "final_learning_rate" not in changes and is_number(changes.get("learning_rate")):
            changes["final_learning_rate"] = min(self.final_learning_rate, changes["learning_rate"])
        return dataclasses.replace(self, **changes)


def list_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the package.

    Example:

    ```python
    print(keras_crate.training.list_recipes())
    ```
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_recipe(recipe: "str | os.PathLike | Recipe", **changes) -> Recipe:
    """A recipe by its name, or from a file.

    Args:
        recipe: A name of `list_recipes()`; a `.toml` file, which may say
            `extends = "NAME"`; the `recipe.json` of a run; or a `Recipe`.
        **changes: Settings to take instead.

    Returns:
        The `Recipe`.

    Raises:
        ValueError: If there is no such recipe or setting, the file is no
            recipe, or a setting is out of range.

    Example:

    ```python
    recipe = keras_crate.training.load_recipe("cifar10-paper", epochs=20, batch_size=64)
    ```
    """
    if not isinstance(recipe, Recipe):
        settings, origin = _settings(recipe, ())
        _check_names(settings, origin)
        try:
            recipe = Recipe(**settings)
        except ValueError as error:
            raise ValueError(f"{origin} is wrong: {error}") from error
    return recipe.with_changes(**changes) if changes else recipe


def parse_setting(text: str) -> tuple[str, object]:
    """A setting of the command line, `NAME=VALUE`.

    Args:
        text: The value is written as in JSON or TOML (`0.1`, `[2, 14]`, `true`),
            a word as it is; `none` for none.

    Raises:
        ValueError: If it is of another form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"A setting must be NAME=VALUE, such as epochs=20. Received: {text!r}")
    try:
        return name.strip(), json.loads(value)
    except json.JSONDecodeError:
        return name.strip(), None if value.strip().lower() == "none" else value.strip()


def _settings(recipe, above: tuple) -> tuple[dict, str]:
    """What a recipe's file says, with what it extends; and what to call it."""
    name = str(recipe)
    if name in list_recipes():
        path, origin = FOLDER / f"{name}.toml", f"The recipe {name!r}"
    else:
        path, origin = Path(recipe), f"The recipe {name}"
        if path.suffix not in (".toml", ".json") or not path.is_file():
            near = difflib.get_close_matches(name, list_recipes(), n=3, cutoff=0.4)
            raise ValueError(
                f"There is no recipe {name!r}"
                + (f"; did you mean {' or '.join(map(repr, near))}?" if near else ".")
                + f" Recipes: {', '.join(list_recipes())}; or a .toml or .json file."
            )
    if path in above:
        raise ValueError(f"{origin} extends itself")
    try:
        text = path.read_text("utf8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{origin} cannot be read: {error}") from error
    if not isinstance(settings, Mapping):
        raise ValueError(f"{origin} must hold settings by name. Received: {type(settings)}")
    settings = {k: None if v == "none" else v for k, v in settings.items()}  # TOML has no null
    parent = settings.pop("extends", None)
    if parent is not None:
        beside = path.parent / str(parent)
        parent = beside if beside.is_file() else parent
        settings = {**_settings(parent, (*above, path))[0], **settings}
    return settings, origin


def _check_names(settings: Mapping, origin: str) -> None:
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=2)
            raise ValueError(
                f"{origin} has a setting {name!r}, which no recipe has"
                + (f"; did you mean {' or '.join(near)}?" if near else ".")
                + f" Settings: {', '.join(known)}"
            )


def _in(value, lowest, highest) -> bool:
    return is_number(value) and lowest <= value <= highest


def _is_policy(name) -> bool:
    if name is None:
        return True
    try:
        return isinstance(name, str) and bool(keras.dtype_policies.get(name))
    except (ValueError, TypeError):
        return False
