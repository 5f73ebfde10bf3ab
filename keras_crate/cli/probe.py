"""Prints how well a model's features tell the classes of DATA, by weighted k-NN and by a linear
classifier, without training the model further. The features of a classifier are taken before its
head. For a masked autoencoder or SimDINO, they are those of the encoder. DATA must have training
images, and test or validation images.

    keras-crate probe crate_mae_fashion_mnist fashion_mnist --knn 20 --linear
"""

from pathlib import Path

from keras_crate.checks import check_above_zero, check_positive
from keras_crate.cli.arguments import add_model, add_preparation, add_split, in_a_folder
from keras_crate.cli.model_and_images import open_encoder, prepared
from keras_crate.data import open_data
from keras_crate.evaluation import features_of, knn_accuracy, linear_accuracy
from keras_crate.files import write_json


def add_arguments(parser) -> None:
    add_model(parser)
    parser.add_argument(
        "data", metavar="DATA", help="the name of a set such as cifar10, a folder with `train` and "
        "`test` or `val`, or huggingface:NAME",
    )  # fmt: skip
    add_split(parser)
    parser.add_argument(
        "--knn", type=int, metavar="K", help="neighbours of k-NN (default: 20 without --linear)"
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.07,
        metavar="T",
        help="temperature of k-NN's weights (default: %(default)s)",
    )
    parser.add_argument("--linear", action="store_true", help="also train a linear classifier")
    parser.add_argument("--limit", type=int, metavar="N", help="use only N training images")
    add_preparation(parser)
    parser.add_argument("--json", metavar="FILE", help="file to write the result to")


def run(arguments) -> None:
    # Checked before measuring, which may take hours.
    if arguments.json:
        in_a_folder("--json", arguments.json)
    knn = arguments.knn if arguments.knn is not None or arguments.linear else 20
    if knn is not None:
        check_positive("knn", knn)
    check_above_zero("temperature", arguments.temperature)
    model, evaluation = open_encoder(arguments.model)
    used = prepared(arguments, model, evaluation)
    data = open_data(arguments.data, limit=arguments.limit)
    split, measured = data.measured(arguments.split)
    print(f"{len(data.train)} training images, {len(measured)} for {split}: {data.source}")
    train, others = (
        features_of(model, used.batches(source, model, arguments.batch_size, classes=data.classes))
        for source in (data.train, measured)
    )
    found = {}
    if knn is not None:
        found[f"{knn}-NN"] = knn_accuracy(*train, *others, knn, arguments.temperature)
    if arguments.linear:
        found["linear"] = linear_accuracy(*train, *others)
    for name, scores in found.items():
        print(f"{name}: {scores}")
    if arguments.json:
        record = {"model": arguments.model, "data": data.source, "split": split}
        record["evaluation"] = used.to_dict()
        write_json(Path(arguments.json), record | {name: s.summary() for name, s in found.items()})
        print(f"wrote {Path(arguments.json).resolve()}")
