"""Downloads a variant's weights if they are not on this machine, checks their hashes, runs a fixed
input and prints a fingerprint; with labelled images, the accuracy too."""

from keras_crate.hub import verify


def add_arguments(parser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("variant", metavar="VARIANT", help="as `keras-crate weights` lists it")
    parser.add_argument(
        "--imagenet", metavar="FOLDER", help="validation images, with one folder for each class, "
        "called by WordNet identifier or as the class",
    )  # fmt: skip
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")


def run(arguments) -> None:
    """Runs the command."""
    print(verify(arguments.variant, imagenet=arguments.imagenet, batch_size=arguments.batch_size))
