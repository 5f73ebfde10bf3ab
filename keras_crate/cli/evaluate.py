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
    parser.add_argument("folder", metavar="FOLDER", help="has one folder of images a class")
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="to write the result to")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.hub.address import open_classifier
    from keras_crate.hub.evaluation import accuracy
    from keras_crate.hub.labelled_images import labelled_images

    output = arguments.json and Path(arguments.json)
    if output and (output.is_dir() or not output.absolute().parent.is_dir()):
        # Before it measures, which may take hours.
        raise OSError(f"`--json` must name a file in a folder that exists. Received: {output}")
    model, evaluation = open_classifier(arguments.model)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        images, labels, folders = labelled_images(
            model, evaluation, arguments.folder, arguments.batch_size
        )
    for warning in told:
        if issubclass(warning.category, UserWarning):  # how folders were taken for classes
            print(warning.message)
    used = evaluation.used_for(model)
    print(f"{len(labels)} files of {len(folders)} classes in {arguments.folder}")
    print(used)
    try:
        found = accuracy(model, images, labels, verbose=1)
    except ValueError:
        report_broken(images)  # it may be why
        raise
    tops = (f"top-{k.removeprefix('top')} {found[k]:.2f} %" for k in found if k.startswith("top"))
    print(f"{', '.join(tops)} of {found['images']} images")
    if output:
        of_folders = dict.fromkeys(folders)
        for file, label in labels.items():
            of_folders[file.relative_to(arguments.folder).parts[0]] = label
        record = {
            "model": arguments.model,
            "folder": arguments.folder,
            "evaluation": used.to_dict(),
            **found,
            "left_out": {str(file): reason for file, reason in images.broken.items()},
            "classes": of_folders,
        }
        output.write_text(json.dumps(record, indent=1), encoding="utf8")
        print(f"wrote {output.resolve()}")
    return report_broken(images)
