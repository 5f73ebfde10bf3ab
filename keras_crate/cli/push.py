"""`keras-crate push`: publishes a model on the Hugging Face Hub."""

from keras_crate.cli.model_file import image_array


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "push",
        help="publish a model on the Hugging Face Hub",
        description="Publishes a model, with a model card, in one commit. The token is that of "
        "`hf auth login` or HF_TOKEN.",
    )
    parser.add_argument("model", metavar="MODEL", help="a .keras file")
    parser.add_argument("address", metavar="ADDRESS", help="hf://user/name")
    parser.add_argument("--dataset", help="what it was trained on")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a result on the data set, such as accuracy=0.97; may be repeated",
    )
    parser.add_argument("--license", help="such as mit or apache-2.0")
    parser.add_argument("--base-model", help="model on the Hub that it was made from")
    parser.add_argument(
        "--images",
        nargs="+",
        default=[],
        metavar="IMAGE",
        help="files or folders on which every layer is measured for the card",
    )
    parser.add_argument(
        "--training",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a fact of the training for the card, such as epochs=90; may be repeated",
    )
    parser.add_argument("--private", action="store_true", help="make a private repository")
    parser.add_argument("--revision", help="branch to commit to")
    parser.add_argument("--force", action="store_true", help="publish an untrained model")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    metrics = dict(_metric(words) for words in arguments.metric)
    training = dict(_fact(words) for words in arguments.training)
    from keras_crate.hub import push
    from keras_crate.hub.open_model import open_model

    model, _ = open_model(arguments.model, compile=True)
    commit = push(
        model,
        arguments.address,
        dataset=arguments.dataset,
        metrics=metrics,
        license=arguments.license,
        base_model=arguments.base_model,
        training=training,
        images=image_array(arguments.images, model) if arguments.images else None,
        private=arguments.private,
        revision=arguments.revision,
        force=arguments.force,
    )
    print(f"published {arguments.address}: {commit}")
    return 0


def _metric(words: str) -> tuple[str, float]:
    name, _, value = words.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(
            f"--metric takes NAME=NUMBER, such as accuracy=0.97. Received: {words}"
        ) from None


def _fact(words: str) -> tuple[str, str]:
    name, equals, value = words.partition("=")
    if not (name and equals):
        raise ValueError(f"--training takes NAME=VALUE, such as epochs=90. Received: {words}")
    return name, value
