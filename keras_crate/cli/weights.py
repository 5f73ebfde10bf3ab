"""Lists all variants: parameters, training data, accuracy, source of the weights, and whether they
are on this machine.

    keras-crate weights --json
"""

import json

from keras_crate.hub import list_weights


def add_arguments(parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(arguments) -> None:
    found = list_weights()
    print(json.dumps([row._asdict() for row in found], indent=1) if arguments.json else found)
