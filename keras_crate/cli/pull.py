"""`keras-crate pull`: a model of the Hugging Face Hub into a file."""

from pathlib import Path


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
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    out = Path(arguments.out)
    if out.suffix != ".keras":
        raise ValueError(f"OUT must end in .keras. Received: {out}")
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} is there already. Pass --overwrite to replace it.")
    if not out.absolute().parent.is_dir():
        raise OSError(f"The folder of {out} does not exist.")
    from keras_crate.hub import pull
    from keras_crate.hub.cache import written_whole

    model = pull(arguments.address, compile=not arguments.no_compile)
    with written_whole(out) as unfinished:
        model.save(unfinished)
    print(f"{type(model).__name__}, {model.count_params():,} parameters")
    print(f"wrote {out.resolve()}")
    return 0
