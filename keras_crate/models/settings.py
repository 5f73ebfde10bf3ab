"""The arguments of a model's constructor, checked and in their normal form."""

import contextlib
import contextvars
import types
from typing import NamedTuple

import keras
import numpy as np

from keras_crate.checks import (
    as_pair,
    check_above_zero,
    check_boolean,
    check_count,
    check_positive,
    check_rate,
)
from keras_crate.keras_internals import outside_remat_scopes
from keras_crate.models import checks

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Settings(types.SimpleNamespace):
    """The checked arguments of a constructor. `get_config` writes them.

    It is not a dictionary, since Keras would track and wrap one. It also has
    the parts of the form under construction that are not layers': `fused`,
    `evaluation` and `grid`.
    """

    def __init__(self, **arguments):
        form = current_form()
        own = {"fused": form.fused, "evaluation": form.evaluation, "grid": form.grid}
        super().__init__(**arguments, **own)


class Form(NamedTuple):
    """What a saved or fused model has besides its settings."""

    fused: bool = False  # as by `keras_crate.fuse`
    layer_settings: dict = {}  # what freezing, quantisation and LoRA changed, by layer
    evaluation: dict | None = None  # how images are prepared, if it is known
    grid: tuple[int, int] | None = None  # of the positions, for images of any size

    @classmethod
    def taken_from(cls, config: dict) -> "Form":
        """Takes the form out of a model's configuration, which then has settings only."""
        return cls(**{k: config.pop(k) for k in cls._fields if k in config})


_form: contextvars.ContextVar[Form | None] = contextvars.ContextVar("form", default=None)


@contextlib.contextmanager
def built_as(form: Form):
    """In its `with` statement, constructors build models of this form."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)


def current_form() -> Form:
    """The form that the model under construction has."""
    return _form.get() or Form()


@contextlib.contextmanager
def scope_as_setting(settings: Settings):
    """In its `with` statement, a user's `keras.RematScope` has the effect of `rematerialise`."""
    with outside_remat_scopes() as scope:
        if scope is not None and scope.mode is not None:
            if scope.mode != "full":
                raise ValueError(
                    'A model can be made in a `keras.RematScope` of mode "full", which acts as '
                    f"`rematerialise=True`. Received: mode={scope.mode!r}. Make the model outside "
                    "of it, with `rematerialise=True`."
                )
            settings.rematerialise = True
        yield


def arguments_of(local_variables: dict) -> dict:
    """Returns a constructor's arguments, from `locals()` at its first line."""
    return {k: v for k, v in local_variables.items() if k not in ("self", "__class__")}


_FLAGS = (
    "include_preprocessing", "include_top", "rematerialise", "norm_pix_loss", "decoupled",
    "residual",
)  # fmt: skip


def checked(settings: Settings) -> None:
    """Checks the settings that all families share, and converts them to their normal form."""
    s = settings
    s.dim = check_positive("dim", s.dim)
    s.depth = check_positive("depth", s.depth)
    for name in _FLAGS:
        check_boolean(name, getattr(s, name, False))
    checks.check_heads(s.dim, s.heads)
    s.heads = int(s.heads)
    check_rate("dropout_rate", s.dropout_rate)
    check_rate("drop_path_rate", s.drop_path_rate)
    if s.layer_scale is not None:
        check_above_zero("layer_scale", s.layer_scale)
    checks.check_rematerialise(s.rematerialise, s.dropout_rate)
    s.registers = check_count("registers", s.registers)
    s.data_format = s.data_format or keras.config.image_data_format()
    s.input_shape = checks.check_input_shape(s.input_shape, s.data_format)
    s.patch_size = as_pair(s.patch_size, "patch_size")
    if not s.include_preprocessing and not (s.mean is None and s.std is None):
        raise ValueError(
            "`mean` and `std` belong to the preprocessing. Received: "
            f"include_preprocessing=False, mean={s.mean}, std={s.std}"
        )
    for name in ("mean", "std"):  # to numbers and lists, which JSON can hold
        value = getattr(s, name)
        setattr(s, name, None if value is None else np.asarray(value, "f8").tolist())


def channels_axis(data_format: str) -> int:
    """The axis of the channels in an image shape without the batch."""
    return -1 if data_format == "channels_last" else 0


def rescaling_of(settings: Settings) -> tuple[list, list]:
    """Returns the scale and offset that normalise pixels in [0, 255]."""
    mean, std = settings.mean, settings.std
    axis = channels_axis(settings.data_format)
    channels = settings.input_shape[axis]
    if (mean is None) != (std is None):
        raise ValueError(f"Give `mean` and `std`, or neither. Received: mean={mean}, std={std}")
    if mean is None:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (0.5, 0.5)
    shape = [1, 1, 1]
    shape[axis] = channels
    statistics = []
    for name, value in (("mean", mean), ("std", std)):
        value = np.asarray(value, "float64")
        if value.shape not in ((), (channels,)):
            raise ValueError(
                f"`{name}` must be a number or one for each of the {channels} channels, for "
                f"pixels in [0, 1]. Received: {name}={value.tolist()}"
            )
        statistics.append(np.broadcast_to(value, (channels,)).reshape(shape))
    mean, std = statistics
    if not (std > 0).all():
        raise ValueError(f"`std` must be above 0. Received: std={std.ravel().tolist()}")
    return (1 / (255 * std)).tolist(), (-mean / std).tolist()
