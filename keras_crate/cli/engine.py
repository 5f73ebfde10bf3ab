"""The arguments of commands that can run on Ray."""

import dataclasses
import os
from pathlib import Path

from keras_crate.cli.model_and_images import report_broken
from keras_crate.evaluation import RayOptions
from keras_crate.evaluation.ray_images import connect

_OPTIONS = [field.name for field in dataclasses.fields(RayOptions) if field.name != "verbose"]


def add_engine(parser) -> None:
    """Adds `--engine` and the options of Ray, which `engine_options` reads."""
    parser.add_argument("--engine", choices=("local", "ray"), default="local",
                        help="this process, or Ray (default: local)")  # fmt: skip
    ray = parser.add_argument_group("options of --engine ray")
    ray.add_argument("--workers", type=int, metavar="N", help="largest number of workers; each "
                     "has a copy of the model (default: one per GPU, or without GPUs one per two "
                     "CPUs)")  # fmt: skip
    ray.add_argument("--gpus", type=float, metavar="N", help="GPUs per worker, such as 0.5 "
                     "(default: 1 if the cluster has GPUs)")  # fmt: skip
    ray.add_argument("--rows-per-file", type=int, metavar="N",
                     help="rows of each Parquet file (default: 8192)")  # fmt: skip
    ray.add_argument("--column", metavar="NAME", help="column of Parquet input with the images, as "
                     "bytes or structs with bytes (default: image)")  # fmt: skip
    ray.add_argument("--key", metavar="NAME", help="column of Parquet input that names each image "
                     "(default: path or id, else Ray's row_hash)")  # fmt: skip


def engine_options(arguments) -> dict:
    """Returns keyword arguments of the function that writes, by `--engine`."""
    values = {name: getattr(arguments, name) for name in _OPTIONS}
    given = {name: value for name, value in values.items() if value is not None}
    if given and arguments.engine != "ray":
        raise ValueError(f"--{min(given).replace('_', '-')} needs --engine ray.")
    return given | {"verbose": 1}


def start_ray(name: str, path: str, overwrite: bool) -> Path:
    """Checks the folder that a command will write, and connects to Ray.

    After that, this process leaves the memory of GPUs to the workers.
    """
    folder = Path(path)
    if folder.suffix:
        raise ValueError(
            f"{name} must be a folder with --engine ray, for Parquet files. Received: {folder}"
        )
    if folder.exists() and not overwrite:
        raise ValueError(f"{folder} exists. Pass --overwrite to replace it.")
    connect()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return folder


def report(out: Path, broken: dict | int) -> int:
    """Prints what was written and which images could not be read. Returns the exit status."""
    print(f"wrote {out.resolve()}")
    if isinstance(broken, dict):  # of the local engine
        return int(bool(report_broken(broken)))
    if broken:
        print(f"{broken} images could not be read. The column `error` has the reasons.")
    return 0
