"""`keras-crate pretrain`: a variant's model, trained from the beginning."""

import dataclasses

_OPTIONS = {
    "epochs": (int, "passes over the images"),
    "warmup_epochs": (int, "of these, those of a growing learning rate"),
    "batch_size": (int, "images a step"),
    "learning_rate": (float, "highest learning rate"),
    "weight_decay": (float, "decoupled weight decay"),
    "label_smoothing": (float, "share of a label spread over all classes"),
}


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "pretrain",
        help="train a variant's model from the beginning",
        description="Trains the model of a variant from initial values on labelled images, by the "
        "recipe of CRATE's paper: Lion, warm-up, cosine decay, label smoothing, random crops and "
        "flips. Writes model.keras and history.csv after every epoch.",
    )
    parser.add_argument("variant", metavar="VARIANT", help="as `keras-crate weights` lists it")
    parser.add_argument(
        "--data", required=True, metavar="FOLDER", help="images, one folder a class"
    )
    parser.add_argument("--validation", metavar="FOLDER", help="to measure the accuracy on")
    parser.add_argument(
        "--output", default="crate-pretrain", help="folder to write to (%(default)s)"
    )
    for name, (kind, text) in _OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    parser.add_argument("--seed", type=int, default=0, help="seed of all chance (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads that read images")
    parser.set_defaults(run=run)


def run(arguments) -> None:
    """Runs the command."""
    from keras_crate.training import pretrain
    from keras_crate.training.pretrain import PAPER

    given = {name: getattr(arguments, name) for name in _OPTIONS}
    given = {name: value for name, value in given.items() if value is not None}
    given.setdefault("warmup_epochs", min(PAPER.warmup_epochs, given.get("epochs", PAPER.epochs)))
    recipe = dataclasses.replace(PAPER, **given)
    done = pretrain(
        arguments.variant,
        arguments.data,
        arguments.output,
        recipe=recipe,
        validation=arguments.validation,
        seed=arguments.seed,
        workers=arguments.workers,
    )
    if done.accuracy:
        print(", ".join(f"{name} {value:.2f}" for name, value in done.accuracy.items()))
    print(f"wrote {done.file.resolve()}")
