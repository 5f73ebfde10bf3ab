"""`keras-crate measure`: coding rate and sparsity at every layer of a model."""

import json
from pathlib import Path

from keras_crate.cli.model_file import (
    add_files_to,
    image_files,
    load_model,
    output_folder,
    report_broken,
)


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "measure",
        help="measure coding rate and sparsity at every layer of a model",
        description="Measures a model at every layer on images, prints a table and writes "
        "measure.json and measure.png. Files that are no images are named and left out, and the "
        "exit status is then 1.",
    )
    add_files_to(parser, output="crate-measure")
    parser.add_argument(
        "--convention",
        choices=("authors", "paper"),
        default="authors",
        help="whose coding rate: of the authors' code, or the paper's (%(default)s)",
    )
    parser.add_argument("--eps", type=float, help="precision of the coding rate")
    parser.add_argument(
        "--penalty", type=float, default=0.1, help="lambda of the paper's objective (%(default)s)"
    )
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="MODEL", help="others for the same figure"
    )
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.figure import new_figure
    from keras_crate.models.blocks import white_box_blocks
    from keras_crate.objective import measure

    new_figure(1, 1)  # if it cannot draw, it says so before it measures
    folder = output_folder(arguments.output)
    measured = {}
    for path in (arguments.model, *arguments.compare):
        model = load_model(path)
        white_box_blocks(model)  # if it has none, it says so before images are read
        images = image_files(arguments, model)
        try:
            found = measure(
                model,
                images,
                convention=arguments.convention,
                eps=arguments.eps,
                penalty=arguments.penalty,
                verbose=1,
            )
        except ValueError:
            report_broken(images)  # it may be why
            raise
        measured[path] = found
        print(f"\n{path}\n{found}\n")
    record = {
        "images": [str(file) for file in images.read],
        "left_out": {str(file): reason for file, reason in images.broken.items()},
        "models": {path: found.to_dict() for path, found in measured.items()},
    }
    (folder / "measure.json").write_text(json.dumps(record, indent=1), encoding="utf8")
    (_, first), *others = measured.items()
    names = {path: Path(path).stem for path in measured}
    if len(set(names.values())) < len(names):
        names = {path: path for path in measured}
    label = names[arguments.model] if others else None
    figure = first.plot(label, {names[path]: found for path, found in others})
    figure.savefig(folder / "measure.png", dpi=200)
    for name in ("measure.json", "measure.png"):
        print(f"wrote {(folder / name).resolve()}")
    return report_broken(images)
