"""`keras-crate weights`: which weights exist, and which can be had."""

import json


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "weights",
        help="list the weights that exist",
        description="Lists all variants: size, data, reported accuracy, where the weights come "
        "from and whether they are on this machine.",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    from keras_crate.hub import list_weights

    found = list_weights()
    print(json.dumps([row._asdict() for row in found], indent=1) if arguments.json else found)
    return 0
