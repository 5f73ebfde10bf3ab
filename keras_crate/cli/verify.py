"""Downloads a variant's weights if they are not on this machine, checks their hashes, and prints a
fingerprint and the outputs for a fixed input. With labelled images, also prints the accuracy."""

from keras_crate.hub import verify


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("variant", metavar="VARIANT", help="name in `keras-crate weights`")
    parser.add_argument(
        "--imagenet", metavar="FOLDER", help="validation images, with one folder for each class, "
        "named by WordNet identifier or by the class",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")


def run(arguments) -> None:
    """Runs the command."""
    print(verify(arguments.variant, imagenet=arguments.imagenet, batch_size=arguments.batch_size))
