"""Publishes a model with a model card on the Hugging Face Hub, in one commit. The token is that of
`hf auth login` or HF_TOKEN. With --dry-run, writes the files to a folder instead. If MODEL is a
file of a run, the card has the run's data, accuracy, recipe, seed and versions. With --space,
publishes a Space instead, which shows the page of `keras-crate app` with this model.

    keras-crate push run/best.keras hf://user/digits --license mit
    keras-crate push a.keras hf://user/a --dataset mnist --metric accuracy=0.977
    keras-crate push model.keras hf://user/digits --dry-run folder
    keras-crate push model.keras hf://user/look-inside --space
"""

from pathlib import Path

import numpy as np

from keras_crate.cli.arguments import MODEL, add_named_values, named_values
from keras_crate.evaluation import Evaluation
from keras_crate.hub import push
from keras_crate.hub.open_model import open_model
from keras_crate.models.half_precision import STORED
from keras_crate.reading import parse_value
from keras_crate.training.run_facts import facts_of_run


def add_arguments(parser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    parser.add_argument("address", metavar="ADDRESS", help="hf://user/name")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="data set that the model was trained and measured on; user/name if it is on the Hub",
    )
    add_named_values(parser, "--metric", "a result on the data set, such as accuracy=0.97")
    parser.add_argument("--license", metavar="NAME",
                        help="licence of the weights, such as mit or apache-2.0")  # fmt: skip
    parser.add_argument("--base-model", metavar="USER/NAME",
                        help="model on the Hub that was fine-tuned")  # fmt: skip
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGE", help="image files or folders, on which every block "
        "is measured for the card",
    )  # fmt: skip
    add_named_values(parser, "--training", "a fact of the training for the card, such as epochs=90")
    parser.add_argument(
        "--space", action="store_true", help="publish a Space that looks inside the model"
    )
    parser.add_argument("--private", action="store_true", help="make a private repository")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to commit to")
    parser.add_argument(
        "--dtype", choices=STORED, help="store the weights in half precision, without the optimizer"
    )
    parser.add_argument("--force", action="store_true", help="publish an untrained model")
    parser.add_argument(
        "--dry-run", metavar="FOLDER", help="write the files to FOLDER, and publish nothing: a new "
        "or empty folder, or that of an earlier dry run",
    )  # fmt: skip


def run(arguments) -> None:
    metrics = named_values("--metric", arguments.metric, _number)
    training = named_values("--training", arguments.training, parse_value)
    run = facts_of_run(Path(arguments.model))
    dataset = arguments.dataset or run.dataset
    model, evaluation = open_model(arguments.model, compile=True)
    publish = push
    if arguments.space:
        from keras_crate.app.space import push_space as publish
    place = publish(
        model,
        arguments.address,
        dataset=dataset,
        metrics={**(run.metrics if dataset == run.dataset else {}), **metrics},
        license=arguments.license,
        base_model=arguments.base_model,
        training={**run.training, **training},
        evaluation=evaluation,
        images=_images(arguments.images, model, evaluation) if arguments.images else None,
        private=arguments.private,
        revision=arguments.revision,
        force=arguments.force,
        dtype=arguments.dtype,
        dry_run=arguments.dry_run,
    )
    if arguments.dry_run is None:
        print(f"published {arguments.address}: {place}")
    else:
        names = ", ".join(sorted(path.name for path in Path(place).iterdir()))
        print(f"wrote {place}: {names}\npublished nothing")


def _number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"--metric must be NAME=NUMBER. Received: {name}={value}") from None


def _images(paths: list[str], model, evaluation: Evaluation | None) -> np.ndarray:
    """Returns all images as the model takes them, or raises an error if a file is broken."""
    images = (evaluation or Evaluation.for_model(model)).images(paths, model)
    batches = list(images)
    for file, reason in images.broken.items():
        raise ValueError(f"{file} cannot be read: {reason}")
    return np.concatenate(batches)
