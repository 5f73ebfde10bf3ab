"""`keras-crate evaluate`: a model's accuracy on a folder of labelled images."""

import json
import warnings
from pathlib import Path

from keras_crate.cli.model_file import add_model_to, report_broken


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a model's accuracy on labelled images",
        description="Prints a model's top-1 and top-5 accuracy on images in one folder a class, "
        "which bears the class's name or, of ImageNet's, its WordNet identifier; otherwise there "
        "is a folder for every class, in the order of their names. Images are resized as the "
        "model's are when its published accuracy is measured. Files that are no images are named "
        "and left out, and the exit status is then 1.",
    )
    add_model_to(parser)
    parser.add_argument(
        "folder",
        metavar="DATA",
        help="a folder with one folder of images a class, or a set such as cifar10, whose held-out "
        "images are taken",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="to write the result to")
    parser.add_argument("--real", metavar="FILE", help="ReaL's labels of ImageNet (real.json)")
    parser.add_argument("--per-class", action="store_true", help="print each class's accuracy")
    parser.add_argument(
        "--confusion", metavar="FILE", help="picture to draw of which class is taken for which"
    )
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.data.open_data import KNOWN_SETS
    from keras_crate.hub.open_model import open_classifier

    outputs = {
        name: _new(name, getattr(arguments, name)) for name in ("json", "confusion")
    }  # before it measures, which may take hours
    model, evaluation = open_classifier(arguments.model)
    used = evaluation.used_for(model)
    is_set = arguments.folder in KNOWN_SETS or not Path(arguments.folder).is_dir()
    measure = _of_set if is_set else _of_files
    scores, record, status = measure(arguments, model, evaluation, used)
    found = scores.summary()
    names = getattr(model, "class_names", None)
    tops = [f"top-{k.removeprefix('top')} {found[k]:.2f} %" for k in found if k.startswith("top")]
    if "real" in found:
        tops.append(f"ReaL {found['real']:.2f} % of {found['real_images']}")
    print(f"{', '.join(tops)} of {found['images']} images")
    if arguments.per_class:
        for k, value in enumerate(scores.by_class()):
            if value is not None:
                print(f"{value:6.2f} %  {names[k] if names else k}")
    if outputs["confusion"]:
        scores.plot(names).savefig(outputs["confusion"], dpi=150)
        print(f"wrote {outputs['confusion'].resolve()}")
    if outputs["json"]:
        record = {
            "model": arguments.model,
            "folder": arguments.folder,
            "evaluation": used.to_dict(),
            **found,
            "per_class": scores.by_class(),
            **record,
        }
        outputs["json"].write_text(json.dumps(record, indent=1), encoding="utf8")
        print(f"wrote {outputs['json'].resolve()}")
    return status


def _new(name: str, given: str | None) -> Path | None:
    output = given and Path(given)
    if output and (output.is_dir() or not output.absolute().parent.is_dir()):
        raise OSError(f"`--{name}` must name a file in a folder that exists. Received: {output}")
    return output


def _of_files(arguments, model, evaluation, used):
    """Scores on a folder, what to note of it, and the exit status."""
    from keras_crate.evaluation.evaluation import number_of_classes, scores_of
    from keras_crate.evaluation.labelled_images import labelled_images, wordnet_ids_of
    from keras_crate.evaluation.scores import RealLabels

    real = None
    if arguments.real:
        if wordnet_ids_of(getattr(model, "class_names", None), number_of_classes(model)) is None:
            raise ValueError("`--real` needs a model of ImageNet's 1,000 classes.")
        real = RealLabels(arguments.real)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        images, labels, folders = labelled_images(
            model, evaluation, arguments.folder, arguments.batch_size
        )
    for warning in told:
        if issubclass(warning.category, UserWarning):  # how folders were taken for classes
            print(warning.message)
    print(f"{len(labels)} files of {len(folders)} classes in {arguments.folder}")
    print(used)
    try:
        scores = scores_of(model, images, labels, real=real, verbose=1)
    except ValueError:
        report_broken(images)  # it may be why
        raise
    of_folders = dict.fromkeys(folders)
    for file, label in labels.items():
        of_folders[file.relative_to(arguments.folder).parts[0]] = label
    record = {
        "left_out": {str(file): reason for file, reason in images.broken.items()},
        "classes": of_folders,
    }
    return scores, record, report_broken(images)


def _of_set(arguments, model, evaluation, used):
    """The same of a known set's held-out images."""
    from keras_crate.data import open_data
    from keras_crate.evaluation.batches import evaluation_batches
    from keras_crate.evaluation.evaluation import number_of_classes, scores_of_batches
    from keras_crate.evaluation.labelled_images import wordnet_ids_of

    if arguments.real:
        raise ValueError("`--real` needs a folder, by whose files' names it tells them.")
    classes, names = number_of_classes(model), getattr(model, "class_names", None)
    data = open_data(
        arguments.folder,
        class_names=names,
        classes=classes,
        wordnet_ids=wordnet_ids_of(names, classes),
    )
    if data.validation is None:
        raise ValueError(f"{arguments.folder} has no held-out images to measure on.")
    print(f"{len(data.validation)} held-out images of {data.classes} classes: {data.source}")
    print(used)
    batches = evaluation_batches(
        data.validation, data.classes, model, evaluation, arguments.batch_size
    )
    return scores_of_batches(model, batches, verbose=1), {"left_out": {}}, 0
