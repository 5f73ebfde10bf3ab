"""Data by whatever names them: a known set, a folder, arrays, a Hugging Face data set."""

import dataclasses
import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_crate.data.class_folders import labelled_files
from keras_crate.data.image_sources import (
    ArraySource,
    FileSource,
    HuggingFaceSource,
    LabelledImages,
    TFDSSource,
)
from keras_crate.data.small_sets import NAMES as SMALL_SETS
from keras_crate.data.small_sets import ImageSet, load
from keras_crate.extras import needed

# Which split the papers train on, and which they measure on.
TFDS_SPLITS = {
    "imagenet2012": ("train", "validation"),
    "cifar10": ("train", "test"),
    "cifar100": ("train", "test"),
    "oxford_flowers102": ("train", "test"),
    "oxford_iiit_pet": ("train", "test"),
}
HUGGING_FACE = "huggingface:"
TRAINING_FOLDERS = ("train",)
VALIDATION_FOLDERS = ("val", "validation", "test")
KNOWN_SETS = (*TFDS_SPLITS, *SMALL_SETS)
_VALIDATION_SPLITS = ("validation", "valid", "val", "test")


def open_data(
    data,
    *,
    validation=None,
    class_names: Sequence[str] | None = None,
    classes: int | None = None,
    wordnet_ids: Sequence[str] | None = None,
    limit: int | None = None,
) -> LabelledImages:
    """Opens labelled images to train and measure on.

    Args:
        data: One of: the name of a set of TensorFlow Datasets that CRATE's papers
            use (`"imagenet2012"`, `"cifar10"`, `"cifar100"`,
            `"oxford_flowers102"`, `"oxford_iiit_pet"`), each with the papers'
            splits; the name of a small set that a package ships (`"mnist5k"`,
            `"digits"`); a folder with one folder of images a class, or with
            folders `train` and `val` (or `validation`, `test`) that have those;
            `"huggingface:NAME"`, a data set of Hugging Face's `datasets` by its
            name or its folder; a `datasets.Dataset` or `DatasetDict`; an
            `ImageSet`; or a pair of arrays (images, labels). A folder that is called
            as a set is `"./digits"`.
        validation: Folder or pair of arrays to measure on, instead of what `data`
            brings to that end.
        class_names: Names of the classes in the order of a model's outputs,
            by which folders are told; by default the folders' own.
        classes: Number of classes, or None to learn it from the data.
        wordnet_ids: WordNet identifiers of the classes, as other names of folders.
        limit: How many of the images to train on are taken, drawn with a fixed
            seed, or None for all.

    Returns:
        A `LabelledImages`.

    Raises:
        ValueError: If there are no such data, they are empty or of one class,
            or labels are out of range.
        ImportError: If a package that they need is not installed.
        OSError: If the data must be fetched and cannot be.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    print(pets.class_names, len(pets.train))
    ```
    """
    names = {"class_names": class_names, "classes": classes, "wordnet_ids": wordnet_ids}
    if isinstance(data, ImageSet):
        opened = _image_set(data)
    elif isinstance(data, (str, os.PathLike)):
        opened = _named(data, names)
    elif isinstance(data, (tuple, list)) and len(data) == 2:
        opened = _arrays(data, class_names, classes)
    elif type(data).__module__.split(".")[0] == "datasets":
        opened = _hugging_face(data, "a data set of Hugging Face's datasets")
    else:
        raise ValueError(
            "`data` must be the name of a set, a folder, a Hugging Face data set or a pair "
            f"(images, labels). Received: {type(data).__name__}"
        )
    if opened.classes == (classes or opened.classes):
        _check_names(opened, class_names, wordnet_ids)
    if validation is not None:
        opened = dataclasses.replace(opened, validation=_validation(validation, opened, names))
    if limit is not None:
        if not isinstance(limit, (int, np.integer)) or limit < 1:
            raise ValueError(f"`limit` must be a positive integer. Received: limit={limit!r}")
        opened = dataclasses.replace(opened, train=opened.train.sample(limit))
    _check(opened, classes)
    return opened


def _named(name, names: dict) -> LabelledImages:
    if str(name).startswith(HUGGING_FACE):
        return _hugging_face(_load_hugging_face(str(name)), str(name))
    if str(name) in SMALL_SETS:
        return _image_set(load(str(name)))
    if str(name) in TFDS_SPLITS:
        return _tfds(str(name))
    if Path(name).is_dir():
        return _folder(Path(name), names)
    near = difflib.get_close_matches(str(name), KNOWN_SETS, n=3, cutoff=0.5)
    raise ValueError(
        f"There is no data set and no folder {str(name)!r}."
        + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
        + f" Known sets: {', '.join(KNOWN_SETS)}; a Hugging Face data set is {HUGGING_FACE}NAME."
    )


def _image_set(images: ImageSet) -> LabelledImages:
    return LabelledImages(
        images.name,
        ArraySource(*images.train),
        ArraySource(*images.test),
        tuple(images.class_names),
        len(images.class_names),
        images.source,
    )


def _arrays(pair, class_names, classes) -> LabelledImages:
    train = ArraySource(*pair)
    if classes is None:
        classes = len(class_names) if class_names else int(train.labels.max(initial=-1)) + 1
    names = class_names and tuple(class_names)
    return LabelledImages("arrays", train, None, names, classes, "arrays")


def _validation(validation, opened: LabelledImages, names: dict):
    """What was given to measure on."""
    if isinstance(validation, (tuple, list)) and len(validation) == 2:
        return ArraySource(*validation)
    if isinstance(validation, (str, os.PathLike)):
        return _matched(Path(validation), opened, names)
    raise ValueError(
        "`validation` must be a folder or a pair (images, labels). Received: "
        f"{type(validation).__name__}"
    )


def _matched(folder: Path, opened: LabelledImages, names: dict) -> FileSource:
    """Held-out files, whose folders stand for the same classes as those of the training images."""
    if opened.class_names is not None and names["wordnet_ids"] is None:
        names = {"class_names": opened.class_names, "classes": opened.classes, "wordnet_ids": None}
    files, labels, _ = labelled_files(folder, **names)
    return FileSource(files, labels)


def _folder(folder: Path, names: dict) -> LabelledImages:
    inside = {path.name for path in folder.iterdir() if path.is_dir()}
    parts = [next((n for n in group if n in inside), None)
             for group in (TRAINING_FOLDERS, VALIDATION_FOLDERS)]  # fmt: skip
    training = folder / parts[0] if parts[0] else folder
    files, labels, folders = labelled_files(training, **names)
    train = FileSource(files, labels)
    class_names = names["class_names"]
    if class_names is None and names["wordnet_ids"] is None:
        class_names = folders  # taken for the classes in their order
    count = names["classes"] or len(class_names)
    class_names = class_names and tuple(class_names)
    opened = LabelledImages(folder.name, train, None, class_names, count, f"the folder {folder}")
    if not (parts[0] and parts[1]):
        return opened
    return dataclasses.replace(opened, validation=_matched(folder / parts[1], opened, names))


def _tfds(name: str) -> LabelledImages:
    with needed("tensorflow", f"{name} is read by TensorFlow Datasets, which needs"):
        import tensorflow  # noqa: F401
    with needed("tensorflow-datasets", f"{name} needs"):
        import tensorflow_datasets as tfds
    builder = tfds.builder(name)
    try:
        builder.download_and_prepare()
    except AssertionError as error:  # what TensorFlow Datasets raises for files that are missing
        files = " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
        raise OSError(
            f"The data set {name} must be downloaded by hand: {files} The folder manual_dir is "
            f"{_manual_folder(builder)}; the environment variable TFDS_DATA_DIR moves it."
        ) from error
    except Exception as error:  # its downloaders raise errors of many kinds
        raise OSError(
            f"The data set {name} could not be fetched by TensorFlow Datasets to "
            f"{builder.data_dir}: {type(error).__name__}: {error}"
        ) from error
    label = builder.info.features["label"]
    train, validation = (TFDSSource(builder, split) for split in TFDS_SPLITS[name])
    names = tuple(label.names)
    source = f"TensorFlow Datasets, {builder.info.full_name}"
    return LabelledImages(name, train, validation, names, label.num_classes, source)


def _manual_folder(builder) -> Path:
    return Path(builder.data_dir).parents[1] / "downloads" / "manual"


def _load_hugging_face(name: str):
    with needed("datasets", "Hugging Face data sets need"):
        import datasets
    name = name.removeprefix(HUGGING_FACE)
    try:
        saved = Path(name)
        if (saved / "dataset_dict.json").exists() or (saved / "state.json").exists():
            return datasets.load_from_disk(name)
        return datasets.load_dataset(name)
    except Exception as error:
        raise OSError(
            f"The Hugging Face data set {name!r} could not be loaded: {type(error).__name__}: "
            f"{error}"
        ) from error


def _hugging_face(dataset, name: str) -> LabelledImages:
    import datasets

    splits = dict(dataset) if isinstance(dataset, dict) else {"train": dataset}
    if any(isinstance(part, datasets.IterableDataset) for part in splits.values()):
        raise ValueError(f"{name} must not be streamed: images are drawn from all of it.")
    if "train" not in splits:
        raise ValueError(
            f"{name} must have a split called train. Received: {', '.join(splits)}. Pass one as "
            "`data`, such as `dataset['default']`."
        )
    features = splits["train"].features
    images = [column for column, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [column for column, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if len(images) != 1 or not labels:
        raise ValueError(
            f"{name} must have one column of images and one of class labels. Received: "
            f"{dict(features)}. `dataset.cast_column` gives a column its kind."
        )
    label = next((column for column in ("label", "fine_label") if column in labels), labels[0])
    kind = features[label]
    validation = next((part for part in _VALIDATION_SPLITS if part in splits), None)
    sources = {
        part: HuggingFaceSource(splits[part], images[0], label)
        for part in ("train", validation)
        if part
    }
    return LabelledImages(
        name, sources["train"], sources.get(validation), tuple(kind.names), kind.num_classes, name
    )


def _check_names(opened: LabelledImages, class_names, wordnet_ids) -> None:
    """Refuses data whose classes are those of the model in another order, or others."""
    theirs = [tuple(names) for names in (class_names, wordnet_ids) if names is not None]
    if opened.class_names is None or not theirs or opened.class_names in theirs:
        return
    ours, wanted = opened.class_names, theirs[0]
    k = next((k for k, pair in enumerate(zip(ours, wanted, strict=False)) if len({*pair}) > 1), 0)
    raise ValueError(
        f"The data's classes must be the model's, in the same order ({opened.source}). Received: "
        f"class {k} is {ours[k]!r} in the data and {wanted[k]!r} in the model. Make the model with "
        "`class_names` of the data, or fine-tune it, which gives it a new head."
    )


def _check(opened: LabelledImages, classes: int | None) -> None:
    if classes is not None and opened.classes != classes:
        raise ValueError(
            f"`classes` must be that of the data, {opened.classes} ({opened.source}). Received: "
            f"classes={classes}"
        )
    if opened.classes < 2:
        raise ValueError(
            f"There must be two classes or more to tell apart. Received: {opened.classes} in "
            f"{opened.source}"
        )
    for source in (opened.train, opened.validation):
        if source is None or isinstance(source, TFDSSource):
            continue
        if not len(source):
            raise ValueError(f"There must be at least one image. Received: none in {opened.source}")
        wrong = np.flatnonzero((source.labels < 0) | (source.labels >= opened.classes))
        if len(wrong):
            raise ValueError(
                f"Labels must be from 0 to {opened.classes - 1}. Received: "
                f"{source.labels[wrong[0]]} for {source.describe(int(wrong[0]))}, and "
                f"{len(wrong) - 1} more out of range"
            )
