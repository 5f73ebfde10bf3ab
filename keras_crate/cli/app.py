"""Starts a web page that looks inside models. Pick a model and an image, and see the likeliest
classes, what the heads attend to at each block, and coding rate and sparsity at every block. Only
this machine can reach the page, unless --host says otherwise.

    keras-crate app
    keras-crate app run/best.keras hf://user/digits --port 8000
"""

from keras_crate.app.server import HOST, PORT, serve
from keras_crate.cli.arguments import MODEL


def add_arguments(parser) -> None:
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help=f"a model to pick from, beside those in the "
        f"package: {MODEL}",
    )  # fmt: skip
    parser.add_argument("--host", default=HOST, help="address to listen at (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=PORT, help="port, or 0 for any (default: %(default)s)"
    )


def run(arguments) -> None:
    serve(arguments.models, arguments.host, arguments.port)
