"""`keras-crate bench`: CRATE's speed and memory beside its peers'."""

import os

from keras_crate.cli.model_file import output_folder


def add_to(commands) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "bench",
        help="time CRATE-B beside KerasHub's ViT-S and eager PyTorch",
        description="Times CRATE-B beside KerasHub's ViT-S and, where PyTorch is installed, the "
        "paper's equations in eager PyTorch, on Keras' backend (KERAS_BACKEND), in turns in one "
        "process. Writes JSON, Markdown and a picture. About 15 minutes on two cores.",
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument("--rounds", type=int, default=9, help="at batch 8 (%(default)s)")
    parser.add_argument(
        "--dtype", default="float32", help="Keras' dtype policy, such as mixed_bfloat16"
    )
    parser.add_argument("--tasks", nargs="+", choices=("predict", "train"), metavar="TASK",
                        default=["predict", "train"], help="predict, train (both)")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="leave out memory, resolutions, sizes and parts"
    )
    parser.add_argument("--output", default="crate-bench", help="folder (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments) -> int:
    """Runs the command."""
    if min(arguments.batches) < 1 or arguments.rounds < 1:
        raise ValueError(
            "--batches and --rounds must be 1 or more. Received: "
            f"{arguments.batches}, {arguments.rounds}"
        )
    folder = output_folder(arguments.output)
    # PyTorch's idle threads would otherwise spin while another library's turn is timed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from keras_crate.benchmark import peers, report

    results = peers.run(
        sorted(arguments.batches),
        arguments.rounds,
        arguments.dtype,
        arguments.tasks,
        report=lambda line: print(line, flush=True),
        with_memory=not arguments.quick,
        with_scaling=not arguments.quick,
    )
    for path in report.write(results, folder):
        print(f"wrote {path.resolve()}")
    return 0
