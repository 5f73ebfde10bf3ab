"""Downloads a model from the Hugging Face Hub, checks the hash of every file, and writes a .keras
file.

    keras-crate pull hf://user/digits digits.keras
"""

from keras_crate.cli.arguments import add_new_file, new_file, report_written
from keras_crate.hub import pull
from keras_crate.models.saving import save_model


def add_arguments(parser) -> None:
    parser.add_argument(
        "address", metavar="ADDRESS", help="hf://user/name[@revision], or a folder of its files"
    )
    add_new_file(parser, "the .keras file to write")
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="leave out the optimizer, the loss and the metrics",
    )


def run(arguments) -> None:
    out = new_file(arguments, (".keras",))
    model = pull(arguments.address, compile=not arguments.no_compile)
    save_model(model, out)
    report_written(model, out)
