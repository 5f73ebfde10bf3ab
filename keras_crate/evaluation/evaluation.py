"""Accuracy as published numbers are measured: size, resizing and normalisation of the images."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import is_number, is_positive_integer
from keras_crate.data.image_files import ImageFiles, check_interpolation, check_resize
from keras_crate.evaluation.scores import RealLabels, Scores
from keras_crate.models.checks import check_positive
from keras_crate.models.settings import IMAGENET_MEAN, IMAGENET_STD, channels_axis


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How images are brought to a model when its accuracy is measured.

    The default is ImageNet's: the shorter side to 256 pixels, the centre's
    224x224 of them.

    Args:
        size: Height and width of the images that the model sees.
        resize: As in `keras_crate.data.ImageFiles`: an integer, to which the
            shorter side is brought before the centre is cut out; a pair, the
            same as `size`, to which the whole image is resized; or None, for
            the largest centre of the size's proportions.
        interpolation: `"bilinear"`, `"bicubic"` or `"area"`.
        mean: Mean of each channel for pixels in [0, 1], or one number for all.
        std: Standard deviation of each channel, likewise.

    Raises:
        ValueError: If one is out of range.

    Example:

    ```python
    from keras_crate.evaluation.evaluation import Evaluation, accuracy

    images = Evaluation.for_model(model).images(["photographs"], model)
    print(accuracy(model, images, {file: 0 for file in images.files}))
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
        if not is_pair or not all(map(is_positive_integer, size)):
            raise ValueError(
                "`size` must be a pair (height, width) of positive integers. "
                f"Received: size={size!r}"
            )
        normal = {
            "size": (int(size[0]), int(size[1])),
            "resize": check_resize(self.resize, size),
            "interpolation": check_interpolation(self.interpolation),
            "mean": _statistic("mean", self.mean),
            "std": _statistic("std", self.std),
        }
        if len({len(normal["mean"]), len(normal["std"])} - {1}) > 1:
            raise ValueError(
                "`mean` and `std` must have one number a channel, as many as each other, or one. "
                f"Received: mean={self.mean!r}, std={self.std!r}"
            )
        if not all(value > 0 for value in normal["std"]):
            raise ValueError(f"`std` must be above 0. Received: std={self.std!r}")
        for name, value in normal.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @classmethod
    def from_dict(cls, values: Mapping) -> "Evaluation":
        """The evaluation that `to_dict` wrote; what is not there has its default.

        Args:
            values: What JSON holds.

        Raises:
            ValueError: If it is no mapping, has another key, or a value is out
                of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, Mapping):
            raise ValueError(
                f"An evaluation must be a mapping of {', '.join(names)}. Received: {values!r}"
            )
        unknown = [str(name) for name in values if name not in names]
        if unknown:
            raise ValueError(
                f"An evaluation has {', '.join(names)}. Received also: {', '.join(unknown)}"
            )
        return cls(**values)

    def to_dict(self) -> dict:
        """The settings as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def __str__(self) -> str:
        if self.resize is None:
            how = "cropped to those proportions and resized"
        elif isinstance(self.resize, int):
            how = f"the centre of images whose shorter side is resized to {self.resize}"
        else:
            how = "resized as a whole"
        statistics = (
            f"{name} {' '.join(f'{value:g}' for value in getattr(self, name))}"
            for name in ("mean", "std")
        )
        height, width = self.size
        return f"{height}x{width} pixels, {how} ({self.interpolation}); {', '.join(statistics)}"

    @classmethod
    def for_model(cls, model: keras.Model) -> "Evaluation":
        """What is customary, for a model of whose evaluation nothing is known.

        Args:
            model: A model of images. Its size and its normalisation are taken;
                the shorter side is brought to 256 / 224 of the model's.

        Raises:
            ValueError: If it does not take images.
        """
        *size, channels = _image_shape(model)
        size = tuple(
            side or default for side, default in zip(size, (224, 224), strict=True)
        )  # of a model for any size
        mean, std = _normalisation(model) or _default_statistics(channels)
        return cls(size=size, resize=round(min(size) * 256 / 224), mean=mean, std=std)

    def for_size(self, size: tuple[int, int]) -> "Evaluation":
        """The same evaluation for images of another size.

        Args:
            size: Height and width. An integer `resize` grows as the shorter
                side does, so that the same part of an image is seen.
        """
        resize = self.resize
        if is_positive_integer(resize):
            resize = max(1, round(resize * min(size) / min(self.size)))
        elif resize is not None:
            resize = tuple(size)
        return dataclasses.replace(self, size=tuple(size), resize=resize)

    def used_for(self, model: keras.Model) -> "Evaluation":
        """The evaluation that a model can be given: this one, for the size of its images.

        Args:
            model: A model that takes pixels in [0, 255].

        Raises:
            ValueError: If it does not take images, takes them normalised, or
                normalises them by another mean and standard deviation.
        """
        *size, channels = _image_shape(model)
        settings = getattr(model, "settings", None)
        if getattr(settings, "include_preprocessing", True) is False:
            raise ValueError(
                "The model must take pixels in [0, 255], as they are in files. Received: a model "
                "with include_preprocessing=False. Make it with include_preprocessing=True, the "
                "evaluation's `mean` and `std` and the same weights."
            )
        own = _normalisation(model)
        if own is not None:
            for name, theirs in zip(("mean", "std"), own, strict=True):
                ours = getattr(self, name)
                ours = ours * channels if len(ours) == 1 else ours
                if len(ours) != channels or not np.allclose(ours, theirs, rtol=0, atol=1e-4):
                    raise ValueError(
                        f"The model must normalise by the evaluation's `{name}`. Received: "
                        f"{name}={tuple(theirs)} in the model, {name}={ours} in the evaluation. "
                        f"Make the model with `mean=` and `std=` of the evaluation, or measure it "
                        "as `Evaluation.for_model(model)` says."
                    )
        size = tuple(
            side or default for side, default in zip(size, self.size, strict=True)
        )  # of a model for any size
        return self if size == self.size else self.for_size(size)

    def images(
        self, paths: Sequence[str | os.PathLike], model: keras.Model, batch_size: int = 32
    ) -> ImageFiles:
        """Image files as the model takes them.

        Where the model's images have another size than `size`, they are made in
        that, with `resize` in proportion.

        Args:
            paths: Files and folders.
            model: A model that takes pixels in [0, 255].
            batch_size: Images at a time, >= 1.

        Raises:
            ValueError: If there are no such files, or the model takes no
                images, takes them normalised, or normalises them by another
                mean and standard deviation.
        """
        used = self.used_for(model)
        data_format = _data_format(model)
        shape = [*used.size]
        shape.insert(channels_axis(data_format) % 3, _image_shape(model)[-1])
        return ImageFiles(
            paths,
            tuple(shape),
            batch_size,
            data_format,
            resize=used.resize,
            interpolation=used.interpolation,
        )


def number_of_classes(model: keras.Model) -> int:
    """How many classes a classifier tells apart.

    Raises:
        ValueError: If the model is no classifier.
    """
    shape = getattr(model, "output_shape", None)
    features = getattr(getattr(model, "settings", None), "include_top", True) is False
    is_matrix = isinstance(shape, (tuple, list)) and len(shape) == 2 and shape[0] is None
    if features or not is_matrix or not is_positive_integer(shape[1]):
        what = "features, without a head" if features else f"outputs of shape {shape}"
        raise ValueError(
            "The model must be a classifier, with outputs of shape (batch, classes). Received: a "
            f"model with {what}. Make it with `include_top=True`; of a masked autoencoder, "
            "`encoder(include_top=True, classes=...)` is a classifier to be trained."
        )
    return shape[1]


def outputs_of(model: keras.Model, images: ImageFiles) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Files and the model's outputs for them, batch by batch.

    Args:
        model: A classifier.
        images: The files; those that are broken are left out.

    Raises:
        ValueError: If outputs are NaN.
    """
    for batch in images:
        files = images.read[-len(batch) :]
        outputs = np.asarray(model.predict_on_batch(batch), "float32")
        bad = np.isnan(outputs).any(axis=1)
        if bad.any():
            raise ValueError(
                f"The model's outputs for {files[int(bad.argmax())]} are NaN: its weights are "
                "damaged, or its dtype is too narrow for it. Load it anew, or in float32."
            )
        yield files, outputs


def accuracy(
    model: keras.Model,
    images: ImageFiles,
    labels: Mapping[str | os.PathLike, int],
    top: Sequence[int] = (1, 5),
    verbose: int = 0,
) -> dict:
    """Top-k accuracy of a classifier on image files.

    Args:
        model: A classifier, of probabilities or logits.
        images: The files, as the model takes them: `Evaluation.images` makes
            them. Read batch by batch; files that are broken are left out.
        labels: Class of each file.
        top: Each k for which to count images whose class is among the k
            likeliest. Those above the number of classes are passed over.
        verbose: 1 for a progress bar.

    Returns:
        `{"top1": ..., "top5": ..., "images": ..., "left_out": ...}`: per cent
        of the images that were read, how many those are, and how many files
        were left out.

    Raises:
        ValueError: If the model is no classifier, a file has no label or one
            that is no class, no file can be read, or the model's outputs are
            NaN.

    Example:

    ```python
    from keras_crate.evaluation.labelled_images import labelled_images

    images, labels, _ = labelled_images(model, Evaluation.for_model(model), "pets")
    accuracy(model, images, labels)["top1"]
    ```
    """
    scores = scores_of(model, images, labels, top, verbose=verbose)
    return {**scores.summary(), "left_out": len(images.broken)}


def scores_of(
    model: keras.Model,
    images: ImageFiles,
    labels: Mapping[str | os.PathLike, int],
    top: Sequence[int] = (1, 5),
    real: RealLabels | None = None,
    verbose: int = 0,
) -> Scores:
    """All that can be counted of a classifier on image files.

    Args:
        model, images, labels, top, verbose: As in `accuracy`.
        real: ReaL's labels, for files of ImageNet's validation.

    Raises:
        ValueError: As `accuracy`, or a file's name tells no ReaL label.
    """
    classes = number_of_classes(model)
    for k in top:
        check_positive("top", k)
    labels = _checked_labels(labels, images.files, classes)
    right = {file: real.of(file) for file in images.files} if real else {}
    scores = Scores(classes, top)
    progress = keras.utils.Progbar(len(images.files)) if verbose else None
    seen = 0
    for files, outputs in outputs_of(model, images):
        scores.add(
            outputs, [labels[file] for file in files], [right[file] for file in files if right]
        )
        seen = len(images.read) + len(images.broken)
        if progress:
            progress.update(seen)
    if not images.read:
        raise ValueError(
            f"None of the {len(images.files)} files could be read. {images.files[0]}: "
            f"{images.broken[images.files[0]]}"
        )
    if progress and seen < len(images.files):  # the last files are broken
        progress.update(len(images.files))
    return scores


def scores_of_batches(model: keras.Model, batches, verbose: int = 0) -> Scores:
    """All that can be counted of a classifier on batches (images, one-hot labels).

    Args:
        model: A classifier.
        batches: What a `for` loop can go through, and `len` count.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: If the model is no classifier, or its outputs are NaN.
    """
    scores = Scores(number_of_classes(model))
    progress = keras.utils.Progbar(len(batches)) if verbose else None
    steps = (
        (batches[k] for k in range(len(batches))) if hasattr(batches, "__getitem__") else batches
    )
    for images, labels in steps:
        outputs = np.asarray(model.predict_on_batch(np.asarray(images)), "float32")
        if np.isnan(outputs).any():
            raise ValueError(
                "The model's outputs are NaN: its weights are damaged, or its dtype is too narrow "
                "for it. Load it anew, or in float32."
            )
        scores.add(outputs, np.asarray(labels).argmax(axis=1))
        if progress:
            progress.add(1)
    return scores


def _statistic(name: str, value) -> tuple[float, ...]:
    values = (value,) if is_number(value) else value
    if not isinstance(values, (tuple, list)) or not values or not all(map(is_number, values)):
        raise ValueError(
            f"`{name}` must be a number or one for each channel, for pixels in [0, 1]. "
            f"Received: {name}={value!r}"
        )
    return tuple(map(float, values))


def _data_format(model) -> str:
    return getattr(getattr(model, "settings", None), "data_format", None) or "channels_last"


def _image_shape(model) -> tuple[int | None, int | None, int]:
    """Height, width and channels, in this order."""
    shape = getattr(model, "input_shape", None)
    is_image = isinstance(shape, (tuple, list)) and len(shape) == 4 and shape[0] is None
    if not is_image or isinstance(shape[1], (tuple, list)):
        raise ValueError(
            "The model must take one batch of images, (batch, height, width, channels). "
            f"Received: a model with inputs of shape {shape}"
        )
    sides = list(shape[1:])
    channels = sides.pop(channels_axis(_data_format(model)))
    return (*sides, channels)


def _normalisation(model) -> tuple | None:
    """Mean and standard deviation a channel by which the model normalises, if it tells."""
    settings = getattr(model, "settings", None)
    if not hasattr(settings, "mean"):
        return None
    channels = _image_shape(model)[-1]
    if settings.mean is None:
        return _default_statistics(channels)
    return tuple(
        tuple(np.broadcast_to(value, channels).tolist()) for value in (settings.mean, settings.std)
    )


def _default_statistics(channels: int) -> tuple:
    """Mean and standard deviation of the models where none were given."""
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels,) * 2


def _checked_labels(labels: Mapping, files: list[Path], classes: int) -> dict[Path, int]:
    labels = {Path(file): label for file, label in labels.items()}
    missing = [file for file in files if file not in labels]
    if missing:
        raise ValueError(
            f"`labels` must have the class of each file. Received: none for {len(missing)} of "
            f"{len(files)}, the first of them {missing[0]}"
        )
    for file in files:
        label = labels[file]
        is_integer = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
        if not is_integer or not 0 <= label < classes:
            raise ValueError(
                f"`labels` must be integers from 0 to {classes - 1}, one of the model's "
                f"{classes} classes. Received: {label!r} for {file}"
            )
    return labels
