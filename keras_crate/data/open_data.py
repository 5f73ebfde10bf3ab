"""Opens data of any kind: a set's name, a folder, files, arrays, a Hugging Face data set."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.checks import check_positive, did_you_mean, is_number, names_arguments
from keras_crate.data.array_files import is_array_data, read_array_data
from keras_crate.data.array_records import ArrayRecordSource
from keras_crate.data.class_folders import VALIDATION_SPLITS, labelled_files, split_folders
from keras_crate.data.image_sources import (
    ArraySource,
    BuilderSource,
    FileSource,
    HuggingFaceSource,
    LabelledImages,
    TFDSSource,
)
from keras_crate.data.keras_sets import KERAS_SETS, load_keras_set
from keras_crate.data.small_sets import NAMES as SMALL_SETS
from keras_crate.data.small_sets import load
from keras_crate.extras import needed

# The splits of TensorFlow Datasets for training, validation and test.
TFDS_SPLITS = {
    "imagenet2012": ("train", "validation", None),
    "oxford_flowers102": ("train", "validation", "test"),
    "oxford_iiit_pet": ("train", None, "test"),
}
KNOWN_SETS = (*KERAS_SETS, *TFDS_SPLITS, *SMALL_SETS)
VALIDATION_SHARE = 0.1  # of the training images, if there are test images and no others
HUGGING_FACE = "huggingface:"


@names_arguments
def open_data(
    data,
    *,
    validation=None,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    wordnet_ids: Sequence[str] | None = None,
    limit: int | None = None,
) -> LabelledImages:
    """Opens labelled images for training, validation and test.

    Settings and epochs are chosen by validation images. Test images are looked at
    once, after the training. If there are test images but no validation images, a
    tenth of the training images is cut off for validation.

    Args:
        data: One of:

            - a data set of `keras.datasets` (`"fashion_mnist"`, `"mnist"`,
              `"cifar10"`, `"cifar100"`), which Keras downloads once;
            - a data set of TensorFlow Datasets (`"imagenet2012"`,
              `"oxford_flowers102"`, `"oxford_iiit_pet"`);
            - a folder that TensorFlow Datasets prepared, such as
              `"tensorflow_datasets/imagenet2012/5.1.0"`. Reading TFRecord files needs
              TensorFlow. ArrayRecord files (`file_format="array_record"`) do not;
            - a small set that a Python package ships (`"mnist5k"`, `"digits"`);
            - a folder that has one folder of images per class, or a folder
              `train` and possibly `val` (or `validation`, `valid`) and `test`
              that have one folder per class. For a folder with the name of a set,
              write `"./digits"`;
            - a folder that has MNIST's four IDX files, or one `.npz` file with the
              arrays `x_train`, `y_train` (or `train_images`, `train_labels`), and
              possibly the same for `val` and `test`; or such a `.npz` file;
            - `"huggingface:NAME"`: a data set of Hugging Face's `datasets`, by
              its name or its folder;
            - a `datasets.Dataset` or `datasets.DatasetDict`;
            - a pair of arrays (images, labels): `(n, height, width, channels)`
              in [0, 255], and integers;
            - a `LabelledImages`, which is used as it is.
        validation: The validation images instead of those that come with `data`:

            - a folder or a pair of arrays;
            - a share in (0, 1) of the training images, which is cut off. The
              same images are cut off at each call. The classes have equal shares,
              except in sets of TensorFlow Datasets, whose last images are cut off;
            - 0 for none: all training images are trained on.
        class_names: Names of the classes in the order of a model's outputs, with
            which folders are matched. By default, the names in the data.
        classes: Number of classes. By default, the number in the data.
        wordnet_ids: WordNet identifiers of the classes, which folders may have
            as names instead.
        limit: Number of training images to use, drawn with a fixed seed, or
            None for all.

    Returns:
        A `LabelledImages`.

    Raises:
        ValueError: If the data do not exist, have no images, fewer than two
            classes or other classes than expected, or if labels are out of
            range.
        ImportError: If a package that is needed to read them is not installed.
        OSError: If they cannot be downloaded.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    print(pets.class_names, len(pets.train))
    ```
    """
    expected = {"class_names": class_names, "classes": classes, "wordnet_ids": wordnet_ids}
    opened = _opened(data, expected)
    _check_classes(opened, **expected)
    needs_validation = opened.test is not None and opened.validation is None
    if validation is None and needs_validation and opened is not data:
        validation = VALIDATION_SHARE
    if validation is not None:
        opened = _with_validation(opened, validation, expected)
    if limit is not None:
        train = opened.train.sample(check_positive("limit", limit))
        opened = dataclasses.replace(opened, train=train)
    for source in (opened.train, opened.validation, opened.test):
        _check_labels(source, opened)
    return opened


def _opened(data, expected: dict) -> LabelledImages:
    """Opens what was passed, by its kind."""
    if isinstance(data, LabelledImages):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return _of_arrays("arrays", "arrays", expected, train=ArraySource(*data))
    if type(data).__module__.split(".")[0] == "datasets":
        return _open_hugging_face(data, "The data set")
    if not isinstance(data, (str, os.PathLike)):
        raise ValueError(
            "`data` must be the name of a set, a folder, a Hugging Face data set or a pair "
            f"(images, labels). Received: {type(data).__name__}"
        )
    name = str(data)
    if name.startswith(HUGGING_FACE):
        return _open_hugging_face(_load_hugging_face(name.removeprefix(HUGGING_FACE)), name)
    if name in SMALL_SETS:
        return load(name)
    if name in KERAS_SETS:
        return load_keras_set(name)
    if name in TFDS_SPLITS:
        return _open_tfds(name)
    if all(os.path.isfile(Path(name) / f"{file}.json") for file in ("dataset_info", "features")):
        return _open_tfds_folder(Path(name))
    if is_array_data(Path(name)):
        source = f"the {'file' if os.path.isfile(name) else 'folder'} {name}"
        return _of_arrays(Path(name).stem, source, expected, **read_array_data(Path(name)))
    if os.path.isdir(name):
        return _open_folder(Path(name), expected)
    raise ValueError(
        f"There is no data set and no folder {name!r}{did_you_mean(name, KNOWN_SETS) or '.'} "
        f"Data sets: {', '.join(KNOWN_SETS)}, and {HUGGING_FACE}NAME of Hugging Face."
    )


def _of_arrays(name: str, source: str, expected: dict, **splits: ArraySource) -> LabelledImages:
    """Arrays as labelled images. The number of classes is by the labels if it is not known."""
    train, names = splits["train"], expected["class_names"]
    classes = expected["classes"] or len(names or ()) or int(train.labels.max(initial=-1)) + 1
    names = names and tuple(names)
    splits.setdefault("validation", None)
    return LabelledImages(name=name, source=source, class_names=names, classes=classes, **splits)


def _open_folder(folder: Path, expected: dict) -> LabelledImages:
    training, *others = split_folders(folder)
    files, labels, folders = labelled_files(training, **expected)
    names, wordnet_ids = expected["class_names"], expected["wordnet_ids"]
    if names is None and wordnet_ids is None:
        names = folders
    opened = LabelledImages(
        name=folder.name,
        train=FileSource(files, labels),
        validation=None,
        class_names=names and tuple(names),
        classes=expected["classes"] or len(names or wordnet_ids),
        source=f"the folder {folder}",
    )
    validation, test = (part and _other_folder(part, opened, expected) for part in others)
    return dataclasses.replace(opened, validation=validation, test=test)


def _other_folder(folder, opened: LabelledImages, expected: dict) -> FileSource:
    """Opens a folder of images, whose folders are matched with the classes of the training data."""
    if expected["wordnet_ids"] is None:
        expected = {"class_names": opened.class_names, "classes": opened.classes}
    files, labels, _ = labelled_files(folder, **expected)
    return FileSource(files, labels)


def _with_validation(opened: LabelledImages, validation, expected: dict) -> LabelledImages:
    """Replaces the validation images."""
    if is_number(validation) and 0 <= validation < 1:
        train, cut = opened.train.cut(validation) if validation else (opened.train, None)
        return dataclasses.replace(opened, train=train, validation=cut)
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        return dataclasses.replace(opened, validation=ArraySource(*validation))
    if isinstance(validation, (str, os.PathLike)):
        source = _other_folder(validation, opened, expected)
        return dataclasses.replace(opened, validation=source)
    raise ValueError(
        "`validation` must be a folder, a pair (images, labels), or a share in [0, 1) of the "
        "training images. Received: "
        + (repr(validation) if is_number(validation) else type(validation).__name__)
    )


def _open_tfds(name: str) -> LabelledImages:
    with needed("tensorflow", f"TensorFlow Datasets, which reads {name}, needs"):
        import tensorflow  # noqa: F401
    with needed("tensorflow-datasets", f"{name} needs"):
        import tensorflow_datasets as tfds
    builder = tfds.builder(name)
    try:
        builder.download_and_prepare()
    except Exception as error:  # of many kinds; its message names missing archives
        raise OSError(
            f"TensorFlow Datasets could not prepare {name} in {builder.data_dir} (the environment "
            f"variable TFDS_DATA_DIR changes the folder). {error}"
        ) from error
    return _of_builder(builder, TFDSSource, TFDS_SPLITS[name])


def _open_tfds_folder(folder: Path) -> LabelledImages:
    """Opens a folder that TensorFlow Datasets prepared: `dataset_info.json` and records."""
    with needed("tensorflow-datasets", f"The folder {folder}, of TensorFlow Datasets, needs"):
        import tensorflow_datasets as tfds
    with _named(f"The folder {folder}, of TensorFlow Datasets,"):
        builder = tfds.builder_from_directory(folder)
    splits, features = builder.info.splits, builder.info.features
    if "train" not in splits or not {"image", "label"} <= {*features}:
        raise ValueError(
            f"{folder} must have a split `train`, and features `image` and `label`. Received: "
            f"splits {', '.join(splits)}; features {', '.join(features)}"
        )
    random_access = builder.info.file_format in tfds.core.FileFormat.with_random_access()
    kind = ArrayRecordSource if random_access else TFDSSource
    with needed("array_record", f"The ArrayRecord files in {folder} need"):
        names = ("train", "validation", "test")
        return _of_builder(builder, kind, [name if name in splits else None for name in names])


def _of_builder(builder, kind: type, splits: Sequence[str | None]) -> LabelledImages:
    train, validation, test = (split and kind(builder, split) for split in splits)
    label, source = builder.info.features["label"], f"TensorFlow Datasets, {builder.info.full_name}"
    return LabelledImages(
        builder.name, train, validation, tuple(label.names), label.num_classes, source, test
    )


@contextlib.contextmanager
def _named(what: str):
    """Names the data in the errors of a library that reads them, which are of many kinds."""
    try:
        yield
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0][:300]
        raise OSError(f"{what} cannot be read: {type(error).__name__}: {reason}") from error


def _load_hugging_face(name: str):
    with needed("datasets", "Hugging Face data sets need"):
        import datasets
    saved = any(os.path.exists(Path(name) / f"{file}.json") for file in ("dataset_dict", "state"))
    with _named(f"The Hugging Face data set {name}"):
        return datasets.load_from_disk(name) if saved else datasets.load_dataset(name)


def _open_hugging_face(dataset, name: str) -> LabelledImages:
    import datasets

    splits = dict(dataset) if isinstance(dataset, dict) else {"train": dataset}
    if any(isinstance(part, datasets.IterableDataset) for part in splits.values()):
        raise ValueError(
            f"{name} must not be streamed, since each batch has images from all of it."
        )
    if "train" not in splits:
        raise ValueError(
            f"{name} must have a split `train`. Received: {', '.join(splits)}. Pass one of them "
            f"as `data`, such as `dataset[{next(iter(splits), 'name')!r}]`."
        )
    features = splits["train"].features
    images = [column for column, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [column for column, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if len(images) != 1 or not labels:
        raise ValueError(
            f"{name} must have one column of type `datasets.Image` and one of type "
            f"`datasets.ClassLabel`. Received: {dict(features)}. Change a column's type with "
            "`dataset.cast_column`."
        )
    # CIFAR-100 has coarse labels too.
    label = next((column for column in ("label", "fine_label") if column in labels), labels[0])
    kind = features[label]
    chosen = next((split for split in VALIDATION_SPLITS if split in splits), None)
    train, validation, test = (
        HuggingFaceSource(splits[split], images[0], label) if split in splits else None
        for split in ("train", chosen, "test")
    )
    if test is not None and (test.labels == -1).all():  # their classes are kept secret
        test = None
    folder = Path(name.removeprefix(HUGGING_FACE))
    short = folder.name if folder.is_dir() else name  # the path stays private
    return LabelledImages(short, train, validation, tuple(kind.names), kind.num_classes, name, test)


def _check_classes(opened: LabelledImages, class_names, classes, wordnet_ids) -> None:
    """Refuses data whose classes are not the model's, or not in the model's order."""
    names = [tuple(names) for names in (class_names, wordnet_ids) if names is not None]
    classes = classes or len(names[0] if names else ()) or opened.classes
    if opened.classes != classes:
        raise ValueError(
            f"`classes` must be the number of classes of the data, {opened.classes} "
            f"({opened.source}). Received: classes={classes}"
        )
    if classes < 2:
        raise ValueError(
            f"There must be two classes or more. Received: {classes} ({opened.source})"
        )
    if not names or opened.class_names in (None, *names):
        return
    pairs = enumerate(zip(opened.class_names, names[0], strict=True))
    k, ours, theirs = next((k, *pair) for k, pair in pairs if pair[0] != pair[1])
    raise ValueError(
        "The data's classes must be the model's, in the same order. Received: class "
        f"{k} is {ours!r} in the data ({opened.source}) and {theirs!r} in the model. Make the "
        "model with the data's `class_names`, or fine-tune it, which gives it a new head."
    )


def _check_labels(source, opened: LabelledImages) -> None:
    if source is None or isinstance(source, BuilderSource):  # reading its labels takes long
        return
    if not len(source):
        raise ValueError(f"There must be at least one image. Received: none in {opened.source}")
    wrong = np.flatnonzero((source.labels < 0) | (source.labels >= opened.classes))
    if len(wrong):
        raise ValueError(
            f"Labels must be from 0 to {opened.classes - 1}. Received: {source.labels[wrong[0]]} "
            f"for {source.describe(int(wrong[0]))}, and {len(wrong) - 1} more out of range "
            f"({opened.source})"
        )
