"""Recipes: the settings of a training."""

import dataclasses
import math
import os
from collections.abc import Mapping
from pathlib import Path

import keras

from keras_crate import reading
from keras_crate.checks import (
    MOST_PIXELS,
    check_above_zero,
    check_choice,
    check_count,
    check_not_negative,
    check_positive,
    check_rate,
    did_you_mean,
    is_image_size,
    is_number,
    names_arguments,
)
from keras_crate.data import Augmentation
from keras_crate.data.image_files import check_interpolation

FOLDER = Path(__file__).parent / "recipes"
NO_DECAY = ("norms", "biases", "positions", "dictionaries")
WHOLE = "whole"
# Far beyond what anyone has trained with: a larger number is a slip, or would run for ever.
MOST_EPOCHS, MOST_IMAGES, HIGHEST = 100_000, 2**20, 1000
LEAST_CROP = 0.1  # validation images are resized to ten times the model's size


@names_arguments
@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training.

    Attributes:
        description: What the recipe is for.
        dataset: The default data, as in `keras_crate.data.open_data`.
        image_size: Side of the images in pixels, or None for the model's. A new
            model then takes the size of the first training image.
        epochs: Passes over the images.
        warmup_epochs: Number of first epochs in which the learning rate grows.
            They follow the `head_epochs`.
        batch_size: Images per update of the weights, of all devices together.
        accumulate: Number of steps per update. `batch_size` must be a multiple of it.
            Each step computes `batch_size / accumulate` images, and needs the memory
            for these only. Gradients are averaged over the steps, so the update is
            that of the whole batch. Exceptions: batch normalisation (`CBT`), MixUp
            and CutMix use the images of one step, and dropout draws other numbers.
        optimizer: `"lion"`, `"adamw"` or `"sgd"`.
        learning_rate: The highest learning rate. A cosine decay follows it.
        final_learning_rate: The learning rate at the end.
        beta_1: Decay rate of the first moment, or SGD's momentum.
        beta_2: Decay rate of the second moment, or of Lion's momentum.
        weight_decay: Decoupled weight decay.
        no_decay: Groups without weight decay, of `"norms"` (scales and offsets
            of normalisations, layer scales, temperatures), `"biases"`,
            `"positions"` (positions, class token) and `"dictionaries"`.
        layer_decay: Factor in (0, 1] of the learning rate from each block to
            the block before it. 1 is the same rate everywhere.
        clip_norm: Largest norm of the whole gradient, or None.
        ema: Momentum in (0, 1) of the weights' moving averages, or None. With
            it, the averages are evaluated and saved.
        loss: `"categorical_crossentropy"`, or `"binary_crossentropy"` of one
            sigmoid per class.
        label_smoothing: Share in [0, 1) of a label that is spread over all
            classes.
        drop_path_rate, dropout_rate: Rates in [0, 1), or None for the model's.
        precision: Keras' dtype policy, such as `"mixed_bfloat16"`, or None for
            the model's.
        simdino: Arguments of `SimDINO` by name, besides the encoder, to train an
            encoder without labels; or None to learn labels.
        train_only: `"head"` to train only the head, or None.
        head_epochs: Number of first epochs that train only the head. The rest
            of the epochs train everything, with a warm-up and a cosine decay
            of their own.
        head_learning_rate: The highest learning rate of the `head_epochs`, or
            None for `learning_rate`. A cosine decay follows it.
        crop_area, crop_ratio, interpolation, shift, flip: As in
            `keras_crate.data.Augmentation`.
        rand_augment, random_erasing, mixup, cutmix: As in
            `keras_crate.data.Augmentation`.
        evaluation_crop: Share in [0.1, 1] of a validation image's shorter side
            that the model sees: 0.875 crops 224 pixels from the centre of 256.
            Or `"whole"`, which resizes the whole image.
        evaluation_interpolation: As in `keras_crate.data.ImageFiles`.

    Raises:
        ValueError: If a value is out of range.

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
    accumulate: int = 1
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
    simdino: Mapping | None = None
    train_only: str | None = None
    head_epochs: int = 0
    head_learning_rate: float | None = None
    crop_area: tuple[float, float] | None = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    shift: int = 0
    flip: bool = True
    rand_augment: tuple[int, float] | None = None
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    evaluation_crop: float | str = 0.875
    evaluation_interpolation: str = "bilinear"

    def __post_init__(self):
        for name, value in vars(self).items():
            if isinstance(value, list):  # as in a file
                object.__setattr__(self, name, tuple(value))
        self._check()
        self.augmentation()

    def _check(self) -> None:
        def check(checker, *names, optional=False):
            for name in names:
                value = getattr(self, name)
                if not (optional and value is None):
                    checker(name, value)

        check(check_positive, "epochs", "batch_size", "accumulate")
        check(check_count, "head_epochs")
        check(check_above_zero, "learning_rate")
        check(check_above_zero, "clip_norm", "head_learning_rate", optional=True)
        check(check_not_negative, "weight_decay")
        check(check_rate, "beta_1", "beta_2", "label_smoothing")
        check(check_rate, "drop_path_rate", "dropout_rate", optional=True)
        check_choice("optimizer", self.optimizer, ("lion", "adamw", "sgd"))
        losses = ("categorical_crossentropy", "binary_crossentropy")
        check_choice("loss", self.loss, losses)
        check_interpolation(self.evaluation_interpolation)
        if self.precision is not None:
            keras.dtype_policies.get(self.precision)
        decay, crop = self.layer_decay, self.evaluation_crop
        for name, valid, accepted in (
            ("description", isinstance(self.description, str), "text"),
            ("image_size", self.image_size is None or is_image_size(*[self.image_size] * 2),
             f"a positive integer of at most {math.isqrt(MOST_PIXELS):,}, or None"),
            ("epochs", self.epochs <= MOST_EPOCHS, f"at most {MOST_EPOCHS:,}"),
            ("batch_size", self.batch_size <= MOST_IMAGES, f"at most {MOST_IMAGES:,}"),
            ("learning_rate", self.learning_rate <= HIGHEST, f"at most {HIGHEST:,}"),
            ("head_learning_rate", (self.head_learning_rate or 0) <= HIGHEST,
             f"at most {HIGHEST:,}"),
            ("weight_decay", self.weight_decay <= HIGHEST, f"at most {HIGHEST:,}"),
            ("dataset", isinstance(self.dataset, str | None), "a name, a folder or None"),
            ("head_epochs", self.head_epochs < self.epochs, "an integer in [0, epochs)"),
            ("warmup_epochs", _in(self.warmup_epochs, 0, self.epochs - self.head_epochs),
             "in [0, epochs - head_epochs]"),
            ("final_learning_rate", _in(self.final_learning_rate, 0, self.learning_rate),
             "in [0, learning_rate]"),
            ("no_decay", isinstance(self.no_decay, tuple)
             and all(name in NO_DECAY for name in self.no_decay),
             f"a list of {', '.join(NO_DECAY)}"),
            ("layer_decay", _in(decay, 0, 1) and decay > 0, "in (0, 1]"),
            ("ema", self.ema is None or (_in(self.ema, 0, 1) and 0 < self.ema < 1),
             "in (0, 1) or None"),
            ("accumulate", self.batch_size % self.accumulate == 0,
             f"a divisor of batch_size, {self.batch_size}"),
            ("simdino", isinstance(self.simdino, Mapping | None), "arguments by name, or None"),
            ("accumulate", self.simdino is None or self.accumulate == 1,
             "1 with `simdino`, whose loss compares the images of one step"),
            ("train_only", self.train_only in (None, "head"), '"head" or None'),
            ("train_only", not (self.train_only and self.head_epochs), "None with `head_epochs`"),
            ("evaluation_crop", crop == WHOLE or _in(crop, LEAST_CROP, 1),
             f'in [{LEAST_CROP}, 1] or "{WHOLE}"'),
        ):  # fmt: skip
            if not valid:
                value = getattr(self, name)
                raise ValueError(f"`{name}` must be {accepted}. Received: {name}={value!r}")

    def augmentation(self) -> Augmentation:
        """Returns the random changes of training images."""
        names = [field.name for field in dataclasses.fields(Augmentation)]
        return Augmentation(**{name: getattr(self, name) for name in names})

    def to_dict(self) -> dict:
        """Returns the settings as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
        }

    def with_changes(self, **changes) -> "Recipe":
        """Returns the recipe with other settings.

        Unless they are given, the head's epochs and the warm-up are shortened to
        what the epochs leave, and the final learning rate lowered to at most the
        learning rate.

        Args:
            **changes: Settings by name.

        Raises:
            ValueError: If there is no such setting, or a value is out of range.
        """
        _check_names(changes)
        new = {**vars(self), **changes}

        def lower(name, limit):
            if name not in changes and is_number(limit):
                new[name] = min(new[name], limit)

        if is_number(new["epochs"]) and new["epochs"] > 0:
            lower("head_epochs", new["epochs"] - 1)
            if is_number(new["head_epochs"]):
                lower("warmup_epochs", new["epochs"] - new["head_epochs"])
        lower("final_learning_rate", new["learning_rate"])
        return Recipe(**new)


@names_arguments
def list_recipes() -> tuple[str, ...]:
    """Names of the recipes of the package.

    Example:

    ```python
    print(keras_crate.training.list_recipes())
    ```
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@names_arguments(options=[Recipe])
def load_recipe(recipe: "str | os.PathLike | Recipe", **changes) -> Recipe:
    """Loads a recipe by its name or from a file.

    Args:
        recipe: A name of `list_recipes()`; a `.toml` file, which may extend
            another recipe by `extends = "NAME"`; the `recipe.json` of a run; or
            a `Recipe`.
        **changes: Settings that replace the recipe's.

    Returns:
        The `Recipe`.

    Raises:
        ValueError: If there is no such recipe or setting, the file cannot be
            read, or a value is out of range.

    Example:

    ```python
    recipe = keras_crate.training.load_recipe("cifar10-paper", epochs=20, batch_size=64)
    ```
    """
    if not isinstance(recipe, Recipe):
        path = _path_of(recipe)
        try:
            settings = _read(path, ())
            _check_names(settings)
            recipe = Recipe(**settings)
        except (ValueError, OSError) as error:
            raise ValueError(f"The recipe {recipe} is not valid: {error}") from error
    return recipe.with_changes(**changes) if changes else recipe


def parse_value(name: str, text: str):
    """Reads a setting's value from text: as in JSON (`0.1`, `[2, 14]`), a bare word, or `none`."""
    _check_names([name])
    text = text.strip()
    return None if text.lower() == "none" else reading.parse_value(name, text)


def _path_of(recipe: str | os.PathLike) -> Path:
    if not isinstance(recipe, (str, os.PathLike)):
        raise ValueError(
            f"A recipe is a name, a file or a `Recipe(...)`. Received: a {type(recipe).__name__}"
        )
    name, names = str(recipe), list_recipes()
    if name in names:
        return FOLDER / f"{name}.toml"
    if Path(name).suffix not in (".toml", ".json") or not os.path.isfile(name):
        raise ValueError(
            f"There is no recipe {name!r}{did_you_mean(name, names)}\n"
            f"Recipes: {', '.join(names)}; or a .toml or .json file."
        )
    return Path(name)


def _read(path: Path, extended_by: tuple) -> dict:
    """Reads the settings of a file and of the recipe that it extends."""
    if path in extended_by:
        raise ValueError(f"{path} extends itself")
    settings = reading.read_json(path) if path.suffix == ".json" else reading.read_toml(path)
    settings = {k: None if v == "none" else v for k, v in settings.items()}  # TOML has no null
    parent = settings.pop("extends", None)
    if parent is None:
        return settings
    beside = path.parent / str(parent)
    parent = beside if beside.is_file() else _path_of(parent)
    return {**_read(parent, (*extended_by, path)), **settings}


def _check_names(names) -> None:
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in names:
        if name not in known:
            raise ValueError(
                f"A recipe has no setting {name!r}{did_you_mean(name, known)}\n"
                f"Settings: {', '.join(known)}."
            )


def _in(value, lowest, highest) -> bool:
    return is_number(value) and lowest <= value <= highest
