"""`keras-crate verify`: gets a variant's weights and says what they are."""


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "verify",
        help="download a variant, check its hashes, and print its fingerprint",
        description="Gets a variant's weights, checks their hashes, runs a fixed input and prints "
        "a fingerprint; with labelled images, the accuracy too.",
    )
    parser.add_argument("variant", metavar="VARIANT", help="as `keras-crate weights` lists it")
    parser.add_argument(
        "--imagenet",
        metavar="FOLDER",
        help="validation images, one folder a class, named by WordNet id or by the class",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="at a time (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.hub import verify

    print(verify(arguments.variant, imagenet=arguments.imagenet, batch_size=arguments.batch_size))
    return 0
