"""What the benchmark scripts share: options, fresh processes, and files of results."""

import argparse
import json
import subprocess
import sys
from pathlib import Path


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options `--rounds` and `--output`.

    Args:
        description: The script's docstring, of which the first line is shown.
        rounds: Default of `--rounds`.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="how often each call is timed (%(default)s)"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "results", help="folder of results"
    )
    return parser


def in_fresh_process(*words):
    """Runs Python with these words in a new process.

    A new process starts from the peak memory of the one that started it. A script that
    measures memory therefore starts such processes before it imports or computes much.

    Args:
        *words: A script's path and its options, or `"-c"` and code.

    Returns:
        What the last printed line holds, as JSON.
    """
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_results(folder: Path, name: str, results: dict) -> None:
    """Writes `NAME_BACKEND.json` into a folder, and prints its path."""
    import keras

    from keras_crate.files import write_json

    path = folder / f"{name}_{keras.backend.backend()}.json"
    write_json(path, results)
    print(f"wrote {path}")
