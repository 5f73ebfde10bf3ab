"""Prints the likeliest classes of each image with their probabilities, or writes them to a CSV
file or to Parquet files. Folders are searched recursively, and the files of a folder are
sorted. Files that cannot be read are left out and listed at the end with the reason. The exit
status is 0 if all files were read, and 1 otherwise. To resume an interrupted run with --csv or
--parquet, repeat the command. With --engine ray and --parquet FOLDER, Ray computes on all cores
or GPUs of this machine or of a cluster. IMAGE may then be Parquet files with images. FOLDER gets
Parquet files with one row per image: its file or key, the columns of the CSV file, and `error`,
the reason if the image cannot be read. The exit status is then 0 even if some images cannot be
read.

    keras-crate predict crate_fashion_mnist photograph.jpg
    keras-crate predict model.keras photographs/ --csv predictions.csv
    keras-crate predict model.keras photographs/ --parquet classes --engine ray
"""

import json

from keras_crate.checks import check_positive
from keras_crate.cli.arguments import add_images, add_model, add_preparation, new_file
from keras_crate.cli.engine import add_engine, engine_options, report, start_ray
from keras_crate.cli.model_and_images import prepared, report_broken
from keras_crate.evaluation import write_predictions, write_predictions_on_ray
from keras_crate.evaluation.accuracy import outputs_of
from keras_crate.evaluation.probabilities import class_names_or_numbers, likeliest
from keras_crate.hub.open_model import open_classifier


def add_arguments(parser) -> None:
    add_model(parser)
    add_images(parser)
    add_preparation(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N",
                        help="number of classes (default: %(default)s)")  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of lines of text")
    form.add_argument(
        "--csv", dest="out", metavar="FILE", help="write one line per image to FILE, for any "
        "number of images; partial results are in the folder FILE.unfinished",
    )  # fmt: skip
    form.add_argument("--parquet", metavar="FOLDER", help="write Parquet files to FOLDER; needs "
                      "--engine ray")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true",
                        help="replace FILE or FOLDER if it exists")  # fmt: skip
    add_engine(parser)


def run(arguments) -> int:
    top = check_positive("top", arguments.top)
    options = engine_options(arguments)
    if (arguments.engine == "ray") != (arguments.parquet is not None):
        raise ValueError("--engine ray and --parquet FOLDER need each other.")
    out = None
    if arguments.parquet is not None:
        out = start_ray("--parquet", arguments.parquet, arguments.overwrite)
        write = write_predictions_on_ray
    elif arguments.out is not None:
        out, write = new_file(arguments, (".csv",), name="--csv"), write_predictions
    model, evaluation = open_classifier(arguments.model)
    used = prepared(arguments, model, evaluation)
    if out is None:
        return _print(arguments, model, used, top)
    sizes = {"evaluation": used, "batch_size": arguments.batch_size}
    return report(out, write(model, arguments.images, out, top=top, **sizes, **options))


def _print(arguments, model, used, top: int) -> int:
    images = used.images(arguments.images, model, arguments.batch_size)
    names = class_names_or_numbers(model)
    record = {"model": arguments.model, "evaluation": used.to_dict(), "images": []}
    for batch in images:
        ranks = zip(*likeliest(model, outputs_of(model, batch), top), strict=True)
        for file, (classes, probabilities) in zip(images.read[-len(batch) :], ranks, strict=True):
            found = [
                {"class": int(k), "name": names[k], "probability": round(float(p), 6)}
                for k, p in zip(classes, probabilities, strict=True)
            ]
            if arguments.json:
                record["images"].append({"file": str(file), "predictions": found})
            else:
                words = (f"{of['name']} {100 * of['probability']:.1f} %" for of in found)
                print(f"{file}: {', '.join(words)}")
    record["left_out"] = report_broken(images.broken)
    if arguments.json:
        print(json.dumps(record, indent=1))
    return int(bool(record["left_out"]))
