"""How images are prepared for a model: their size, resizing and normalisation."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_crate.checks import MOST_PIXELS, is_image_size, names_arguments
from keras_crate.data import EvaluationBatches, ImageFiles
from keras_crate.data.image_files import check_interpolation, check_resize
from keras_crate.data.image_sources import ImageSource, TFDSSource
from keras_crate.data.tf_batches import evaluation_dataset
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.models.settings import IMAGENET_MEAN, IMAGENET_STD, channels_axis
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.variants import IMAGENET_EVALUATION


@names_arguments
@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How images are prepared when the accuracy of a model is measured.

    The defaults are ImageNet's: the shorter side is resized to 256 pixels, and
    224x224 pixels are cut from the centre.

    Args:
        size: Height and width of the images that the model sees.
        resize: As in `keras_crate.data.ImageFiles`. An integer: the shorter
            side is resized to it, then the centre is cropped. A pair, equal to
            `size`: the whole image is resized to it. None: the centre is
            cropped to the aspect ratio of `size`, then resized.
        interpolation: `"bilinear"`, `"bicubic"` or `"area"`.
        mean: Mean of each channel for pixels in [0, 1], or one number for all.
        std: Standard deviation of each channel, or one number for all.

    Raises:
        ValueError: If a value is out of range.

    Example:

    ```python
    evaluation = keras_crate.evaluation.Evaluation.for_model(model)
    for batch in evaluation.images("photographs", model):
        model.predict(batch)
    ```
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | None = 256
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self):
        size = self.size
        is_pair = isinstance(size, (tuple, list)) and len(size) == 2
        if not is_pair or not is_image_size(*size):
            raise ValueError(
                "`size` must be a pair (height, width) of positive integers, and at most "
                f"{MOST_PIXELS:,} pixels. Received: size={size!r}"
            )
        mean, std = (np.ravel(np.asarray(value, "float64")) for value in (self.mean, self.std))
        in_range = np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()
        same_channels = len(mean) == len(std) or 1 in (len(mean), len(std))
        if not (in_range and same_channels):
            raise ValueError(
                "`mean` must be finite and `std` above 0: one number, or one for each channel. "
                f"Received: mean={self.mean!r}, std={self.std!r}"
            )
        normal = {
            "size": tuple(map(int, size)),
            "resize": check_resize(self.resize, size),
            "interpolation": check_interpolation(self.interpolation),
            "mean": tuple(mean.tolist()),
            "std": tuple(std.tolist()),
        }
        for name, value in normal.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @classmethod
    def from_dict(cls, values: Mapping) -> "Evaluation":
        """Returns the evaluation that `to_dict` wrote. A missing value has its default."""
        try:
            return cls(**values)
        except TypeError as error:
            names = ", ".join(field.name for field in dataclasses.fields(cls))
            raise ValueError(
                f"An evaluation must be a mapping of {names}. Received: {values!r}"
            ) from error

    def to_dict(self) -> dict:
        """Returns the values as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    @property
    def resizing(self) -> str:
        """A description of the size and the resizing."""
        if self.resize is None:
            how = "cropped to those proportions and resized"
        elif isinstance(self.resize, int):
            how = f"the centre of images whose shorter side is resized to {self.resize}"
        else:
            how = "resized as a whole"
        height, width = self.size
        return f"{height}x{width} pixels, {how} ({self.interpolation})"

    def __str__(self) -> str:
        mean, std = (" ".join(f"{value:g}" for value in of) for of in (self.mean, self.std))
        return f"{self.resizing}; mean {mean}, std {std}"

    @classmethod
    def for_model(cls, model: keras.Model) -> "Evaluation":
        """Returns how images are prepared for a model.

        A model of this package knows it if it came with weights, was trained by
        a recipe, or `keep_in` was called. For any other model, the whole image
        is resized to the model's size, and images of this size do not change.

        Args:
            model: A model of images. Its size and normalisation are used. The
                size is 224x224 pixels if the model takes any size.

        Raises:
            ValueError: If the model does not take images.
        """
        size, channels = _image_shape(model)
        size = tuple(side or 224 for side in size)
        mean, std = _normalisation(model) or _default_statistics(channels)
        kept = _kept_in(model)
        if kept is not None:
            return cls.from_dict({**kept, "mean": mean, "std": std}).for_size(size)
        return cls(size=size, resize=size, mean=mean, std=std)

    @classmethod
    def known_for(cls, model: keras.Model) -> "Evaluation | None":
        """Returns `for_model` if the model knows how its images are prepared, else None."""
        return None if _kept_in(model) is None else cls.for_model(model)

    def keep_in(self, model: keras.Model) -> None:
        """Keeps this evaluation in a model, which is saved and published with it.

        Args:
            model: A model of this package. It normalises pixels itself, so
                only `size`, `resize` and `interpolation` are kept.

        Raises:
            ValueError: If the model is not of this package.

        Example:

        ```python
        evaluation = keras_crate.evaluation.Evaluation(size=(32, 32), resize=36)
        evaluation.keep_in(model)
        model.save("model.keras")
        ```
        """
        if not isinstance(model, WhiteBoxModel):
            raise ValueError(
                "The model must be of this package, since others have no place for an evaluation. "
                f"Received: a {type(model).__name__}"
            )
        values = self.to_dict()
        model.settings.evaluation = {k: values[k] for k in IMAGENET_EVALUATION}

    def for_size(self, size: tuple[int, int]) -> "Evaluation":
        """Returns the same evaluation for images of another size.

        Args:
            size: Height and width. An integer `resize` is scaled by the
                shorter side, so that the same part of an image is seen.
        """
        resize = self.resize
        if isinstance(resize, int):
            resize = max(1, round(resize * min(size) / min(self.size)))
        elif resize is not None:
            resize = size
        return dataclasses.replace(self, size=size, resize=resize)

    def used_for(self, model: keras.Model) -> "Evaluation":
        """Returns the same evaluation for the image size of a model.

        Args:
            model: A model that takes pixels in [0, 255].

        Raises:
            ValueError: If the model does not take images or takes normalised
                ones, or if it normalises by another mean or standard deviation.
        """
        size, _ = _image_shape(model)
        if getattr(getattr(model, "settings", None), "include_preprocessing", True) is False:
            raise ValueError(
                "The model must take pixels in [0, 255]. Received: a model with "
                "include_preprocessing=False. Make it with the same weights, "
                "include_preprocessing=True, and the evaluation's `mean` and `std`."
            )
        own = _normalisation(model)
        for name, theirs in zip(("mean", "std"), own or (), strict=False):
            ours = getattr(self, name)
            if len(ours) not in (1, len(theirs)) or not np.allclose(
                ours, theirs, rtol=0, atol=1e-4
            ):
                raise ValueError(
                    f"The model must normalise by the evaluation's `{name}`. Received: {theirs} "
                    f"in the model, {ours} in the evaluation. Make the model with the evaluation's "
                    "`mean` and `std`, or use `Evaluation.for_model(model)`."
                )
        size = tuple(side or default for side, default in zip(size, self.size, strict=True))
        return self if size == self.size else self.for_size(size)

    def images(
        self, paths: Sequence[str | os.PathLike], model: keras.Model, batch_size: int = 32
    ) -> ImageFiles:
        """Returns image files as the model takes them.

        Args:
            paths: Files and folders.
            model: A model that takes pixels in [0, 255]. If its images have
                another size than `size`, `for_size` adapts the evaluation.
            batch_size: Images at a time, >= 1.

        Raises:
            ValueError: If there are no such files, or as `used_for`.
        """
        used, channels = self.used_for(model), _image_shape(model)[1]
        data_format = _data_format(model)
        first = data_format == "channels_first"
        return ImageFiles(
            paths,
            (channels, *used.size) if first else (*used.size, channels),
            batch_size,
            data_format,
            resize=used.resize,
            interpolation=used.interpolation,
        )

    def batches(
        self,
        source: ImageSource,
        model: keras.Model,
        batch_size: int = 32,
        workers: int = 1,
        classes: int | None = None,
        shard: tuple[int, int] = (0, 1),
        multiple_of: int = 1,
    ):
        """Returns the images of any source as a model takes them, with one-hot labels.

        Args:
            source: The images, such as `open_data("cifar10").test`.
            model: A model that takes pixels in [0, 255], channels last.
            batch_size: Images at a time, >= 1.
            workers: Threads that read images. TensorFlow's data sets have
                their own.
            classes: Number of classes. By default, the model's.
            shard, multiple_of: As in `keras_crate.data.EvaluationBatches`.

        Returns:
            A `keras.utils.PyDataset`, or a `tf.data.Dataset` for TensorFlow's
            data sets.

        Raises:
            ValueError: If the model is not a classifier and `classes` is not
                given, or as `used_for`.
        """
        used = self.used_for(model)
        shape = (*used.size, _image_shape(model)[1])
        arguments = (source, classes or number_of_classes(model), shape, batch_size)
        how = {"resize": used.resize, "interpolation": used.interpolation}
        how |= {"shard": shard, "multiple_of": multiple_of}
        if isinstance(source, TFDSSource):
            return evaluation_dataset(*arguments, **how)
        return EvaluationBatches(*arguments, **how, workers=workers)


def _kept_in(model) -> dict | None:
    """The part of an evaluation in a model's configuration."""
    return model.settings.evaluation if isinstance(model, WhiteBoxModel) else None


def _data_format(model) -> str:
    """Returns the model's data format, channels last for models of other packages."""
    return getattr(getattr(model, "settings", None), "data_format", None) or "channels_last"


def _image_shape(model) -> tuple[tuple[int | None, int | None], int]:
    """Returns the pair (height, width), with None for any size, and the channels."""
    shape = getattr(model, "input_shape", None)
    is_image = isinstance(shape, (tuple, list)) and len(shape) == 4 and shape[0] is None
    if not is_image:
        raise ValueError(
            "The model must take one batch of images, (batch, height, width, channels). "
            f"Received: a model with inputs of shape {shape}"
        )
    if _data_format(model) == "channels_first":
        return tuple(shape[2:]), shape[1]
    return tuple(shape[1:3]), shape[3]


def _normalisation(model) -> tuple | None:
    """Returns the mean and standard deviation with which the model normalises, if known."""
    if not isinstance(model, WhiteBoxModel):
        return None
    settings = model.settings
    # After layers of the user's, these are not the channels of the images.
    channels = settings.input_shape[channels_axis(settings.data_format)]
    if settings.mean is None:
        return _default_statistics(channels)
    values = (np.broadcast_to(value, channels) for value in (settings.mean, settings.std))
    return tuple(tuple(value.tolist()) for value in values)


def _default_statistics(channels: int) -> tuple:
    """Returns the mean and standard deviation of a model that was made without them."""
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels,) * 2
