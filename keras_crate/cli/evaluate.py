"""Prints a model's top-1 and top-5 accuracy on labelled images. DATA is a folder with one folder
for each class, a folder with such folders `train`, `val` and `test`, or the name of a data set. The
test images are used if there are some, else the validation images. The folder of a class has the
name of the class or its WordNet identifier. If no folder has such a name, there must be a folder
for each class, and their alphabetical order is that of the classes. Images are prepared as for the
model's published accuracy. If this is not known, the whole image is resized. Broken files are named
and left out, and the exit status is then 1.

    keras-crate evaluate crate_fashion_mnist fashion_mnist --per-class
    keras-crate evaluate model.keras photographs/ --split test --json result.json
"""

import os
from pathlib import Path

from keras_crate.cli.arguments import add_model, add_preparation, add_split, in_a_folder
from keras_crate.cli.model_and_images import prepared, report_broken
from keras_crate.data import open_data
from keras_crate.data.array_files import is_array_data
from keras_crate.data.open_data import KNOWN_SETS
from keras_crate.evaluation import LabelledFolder, accuracy
from keras_crate.evaluation.classes import classes_of
from keras_crate.files import write_json, written_whole
from keras_crate.hub.open_model import open_classifier


def add_arguments(parser) -> None:
    add_model(parser)
    parser.add_argument("data", metavar="DATA", 
                        help="a folder, or the name of a set such as cifar10")  # fmt: skip
    add_split(parser)
    add_preparation(parser)
    parser.add_argument("--json", metavar="FILE", help="file to write the result to")
    parser.add_argument("--real", metavar="FILE", 
                        help="file with ReaL's labels of ImageNet (real.json)")  # fmt: skip
    parser.add_argument("--per-class", action="store_true", help="print each class's accuracy")
    parser.add_argument("--confusion", metavar="FILE", help="image file for the confusion matrix")


def run(arguments) -> int:
    for name in ("json", "confusion"):  # before measuring, which may take hours
        if getattr(arguments, name):
            in_a_folder(f"--{name}", getattr(arguments, name))
    model, evaluation = open_classifier(arguments.model)
    used = prepared(arguments, model, evaluation)
    record = {
        "model": arguments.model,
        "data": arguments.data,
        "evaluation": used.to_dict(),
        "left_out": {},
    }
    folder = Path(arguments.data)
    if arguments.data in KNOWN_SETS or not os.path.isdir(folder) or is_array_data(folder):
        record["split"], batches = _images_of_a_set(arguments, model, used)
        scores = accuracy(model, batches, verbose=1)
    else:
        batches = LabelledFolder(
            folder, model, used, arguments.batch_size, arguments.real, arguments.split
        )
        record["split"] = batches.split
        folders = {f.relative_to(batches.folder).parts[0]: k for f, k in batches.labels.items()}
        print(f"{len(batches.labels)} files of {len(folders)} classes in {batches.folder}")
        try:
            scores = accuracy(model, batches, verbose=1)
        finally:  # broken files may be why it fails
            record |= {"left_out": report_broken(batches.images.broken), "classes": folders}
    print(scores)
    names = getattr(model, "class_names", None)
    if arguments.per_class:
        for k, value in enumerate(scores.by_class()):
            if value is not None:
                print(f"{value:6.2f} %  {names[k] if names else k}")
    if arguments.json:
        record |= {**scores.summary(), "per_class": scores.by_class()}
        write_json(Path(arguments.json), record)
        print(f"wrote {Path(arguments.json).resolve()}")
    if arguments.confusion:
        with written_whole(Path(arguments.confusion)) as unfinished:
            scores.plot(names).savefig(unfinished, dpi=150)
        print(f"wrote {Path(arguments.confusion).resolve()}")
    return int(bool(record["left_out"]))


def _images_of_a_set(arguments, model, used):
    """Returns the name of the split, and its images batch by batch."""
    if arguments.real:
        raise ValueError("`--real` needs a folder, since it finds labels by the names of files.")
    data = open_data(arguments.data, **classes_of(model))
    split, source = data.measured(arguments.split)
    print(f"{len(source)} {split} images of {data.classes} classes: {data.source}")
    return split, used.batches(source, model, arguments.batch_size)
