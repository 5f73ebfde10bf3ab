"""Measures coding rate and sparsity at every block of a model on images. Prints a table and writes
measure.json and measure.png. Broken files are named and left out, and the exit status is then 1.

    keras-crate measure crate_fashion_mnist photographs/
    keras-crate measure before.keras photographs/ --compare after.keras
"""

import sys
from pathlib import Path

from keras_crate.cli.arguments import add_images, add_model, add_output, add_preparation
from keras_crate.cli.model_and_images import open_encoder, prepared, report_broken
from keras_crate.figure import new_figure
from keras_crate.files import make_folder, write_json, written_whole
from keras_crate.models.blocks import white_box_blocks
from keras_crate.objective import measure


def add_arguments(parser) -> None:
    add_model(parser)
    add_images(parser)
    add_preparation(parser)
    add_output(parser, "crate-measure")
    parser.add_argument(
        "--convention", choices=("authors", "paper"), default="authors",
        help="coding rate of the authors' code, or of the paper (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--eps", type=float, metavar="EPS",
                        help="precision of the coding rate")  # fmt: skip
    parser.add_argument(
        "--penalty",
        type=float,
        default=0.1,
        metavar="LAMBDA",
        help="lambda of the paper's objective (default: %(default)s)",
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="other models to draw in the same figure",
    )


def run(arguments) -> int:
    new_figure(1, 1)  # fails here, before the computation, without matplotlib
    folder = Path(arguments.output)
    make_folder(folder)
    settings = {name: getattr(arguments, name) for name in ("convention", "eps", "penalty")}
    measured, evaluations = {}, {}
    for path in (arguments.model, *arguments.compare):
        model, evaluation = open_encoder(path)
        white_box_blocks(model)  # fails here, before images are read, without blocks
        used = prepared(arguments, model, evaluation)
        images = used.images(arguments.images, model, arguments.batch_size)
        try:
            found = measure(model, images, **settings, verbose=int(sys.stdout.isatty()))
        except ValueError:
            report_broken(images.broken)  # broken files may be the cause
            raise
        measured[path], evaluations[path] = found, used.to_dict()
        print(f"\n{path}\n{found}\n")
    record = {
        "images": [str(file) for file in images.read],
        "left_out": report_broken(images.broken),
        "evaluations": evaluations,
        "models": {path: found.to_dict() for path, found in measured.items()},
    }
    write_json(folder / "measure.json", record)
    (_, first), *others = measured.items()
    names = {path: Path(path).stem for path in measured}
    if len(set(names.values())) < len(names):
        names = {path: path for path in measured}
    label = names[arguments.model] if others else None
    figure = first.plot(label, {names[path]: found for path, found in others})
    with written_whole(folder / "measure.png") as file:
        figure.savefig(file, dpi=200)
    for name in ("measure.json", "measure.png"):
        print(f"wrote {(folder / name).resolve()}")
    return int(bool(record["left_out"]))
