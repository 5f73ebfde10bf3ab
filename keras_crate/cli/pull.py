"""`keras-crate pull`: a model of the Hugging Face Hub into a file."""

from keras_crate.cli.model_file import add_overwrite_to, new_file, report_written


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "pull",
        help="download a model from the Hugging Face Hub",
        description="Downloads a model, checks every file's hash, and writes a .keras file.",
    )
    parser.add_argument("address", metavar="ADDRESS", help="hf://user/name[@revision]")
    parser.add_argument("out", metavar="OUT", help="the .keras file to write")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out its optimizer, loss and metrics"
    )
    add_overwrite_to(parser)
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    out = new_file(arguments, (".keras",))
    from keras_crate.files import written_whole
    from keras_crate.hub import pull

    model = pull(arguments.address, compile=not arguments.no_compile)
    with written_whole(out) as unfinished:
        model.save(unfinished)
    report_written(model, out)
    return 0
