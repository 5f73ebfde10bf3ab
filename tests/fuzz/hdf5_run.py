"""Tries changed HDF5 files on what `clean_copy` runs, many in one process until it ends.

    KERAS_BACKEND=torch PYTHONPATH=.:tests python tests/fuzz/hdf5_run.py --files 20000

A process copies one file after the other. It may crash, and is stopped if one file takes a second
of CPU; then the next process goes on. Every copy is read whole, and one in twenty by the package:
neither must crash, and the package must raise its own errors only.
"""

import argparse
import collections
import json
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
from fuzz.mutations import mutate

_SECONDS = 1
_READ_BY_PACKAGE = 20
# This process does not import Keras: it would take a tenth of a second to fork.
_SEEDS = """
import sys
from fuzz.readers import _hdf5
for index, content in enumerate(_hdf5()):
    open(f"{sys.argv[1]}/{index}.seed", "wb").write(content)
"""
_READ = """
import sys
from pathlib import Path
from fuzz.reader import Fault, check
from fuzz.readers import READERS, _load
reader = next(r for r in READERS if r.name == "hdf5")._replace(file="clean.h5", read=_load)
folder = Path(sys.argv[1])
for path in sorted(folder.glob("*.copy")):
    try:
        print(check(reader, path.read_bytes(), folder) or "read")
    except Fault as fault:
        print("FAULT", path.name, str(fault).replace("\\n", " "))
"""
parser = argparse.ArgumentParser()
parser.add_argument("--files", type=int, default=20_000)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

root = Path(__file__).parents[2]
rules = runpy.run_path(str(root / "keras_crate" / "weights" / "hdf5.py"))
folder = Path(tempfile.mkdtemp())
given, target = folder / "given.h5", folder / "target.h5"


def package(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    return [*done.stdout.decode().splitlines(), *(["CRASH"] if done.returncode else [])]


assert package(_SEEDS) == []
seeds = [path.read_bytes() for path in sorted(folder.glob("*.seed"))]


def copy_from(index: int, answers: int) -> None:
    """Copies changed files from one index on, and says after each how it ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_AS, ((1 << 30) + 3 * len(seeds[0]),) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((1 << 26) + 16 * len(seeds[0]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(index, arguments.files):
        numbers = random.Random(f"{arguments.seed}-{number}")
        given.write_bytes(mutate(numbers.choice(seeds), numbers))
        target.unlink(missing_ok=True)
        signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)  # its signal ends the process
        try:
            with (
                h5py.File(given, "r") as old,
                h5py.File(target, "w", libver=("v110", "v110")) as new,
            ):
                rules["_copy"](old, new, "it", set())
        except BaseException:
            os.write(answers, b"n")
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        os.write(answers, b"c")
        with h5py.File(target, "r") as clean:
            clean.visititems(lambda name, item: isinstance(item, h5py.Dataset) and item[()])
        os.write(answers, b"r")
        if number % _READ_BY_PACKAGE == 0:
            target.rename(folder / f"{number:06}.copy")
    os._exit(0)


def say() -> None:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    more = {"largest_MB": used.ru_maxrss // 1000, "cpu_seconds": round(used.ru_utime)}
    more["seconds"] = round(time.time() - start)
    print(json.dumps({"files": index, **outcomes, **more}), flush=True)


outcomes: collections.Counter = collections.Counter()
start, index, said = time.time(), 0, 0
while index < arguments.files:
    answers, write = os.pipe()
    child = os.fork()
    if child == 0:
        copy_from(index, write)
    os.close(write)
    last = b""
    while last := os.read(answers, 1):
        outcomes[{b"n": "not copied", b"c": "copied", b"r": "copy read"}[last]] += 1
        index += last != b"r"
        if index % 1000 == 0 and index != said:
            said = index
            say()
    os.close(answers)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        outcomes[signal.Signals(os.WTERMSIG(status)).name] += 1
        index += 1
say()
print(json.dumps(collections.Counter(line.split()[0] for line in package(_READ))), folder)
