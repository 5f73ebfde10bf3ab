"""Tries changed HDF5 files on what `clean_copy` runs.

    KERAS_BACKEND=torch PYTHONPATH=.:tests python tests/fuzz/hdf5_run.py --files 20000

Each file is copied in a forked process, which may crash or be stopped. What it copied is then
read by a process with Keras, which must not crash and must raise errors of the package only.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz.mutations import mutate

# Of CPU, in a process that has read its modules already; `clean_copy` gives more.
_SECONDS = 2
# This process does not import Keras: it would take a tenth of a second to fork.
_READER = """
import sys
from pathlib import Path
from fuzz.reader import Fault, check
from fuzz.readers import READERS, _load
reader = next(reader for reader in READERS if reader.name == "hdf5")
folder = Path(sys.argv[1])
for index, content in enumerate(reader.seeds()):
    (folder / f"{index}.seed").write_bytes(content)
direct = reader._replace(file="clean.weights.h5", read=_load)
print("ready", flush=True)
for line in sys.stdin:
    try:
        print(check(direct, (folder / "copy.h5").read_bytes(), folder) or "read", flush=True)
    except Fault as fault:
        print("FAULT", str(fault).replace("\\n", " "), flush=True)
"""
parser = argparse.ArgumentParser()
parser.add_argument("--files", type=int, default=20_000)
parser.add_argument("--seed", type=int, default=0)
arguments = parser.parse_args()

root = Path(__file__).parents[2]
copy = runpy.run_path(str(root / "keras_crate" / "weights" / "hdf5.py"))["_main"]
folder = Path(tempfile.mkdtemp())
given, target = folder / "given.h5", folder / "copy.h5"
outcomes: collections.Counter = collections.Counter()
start, memory = time.time(), 0
reader = subprocess.Popen(
    [sys.executable, "-c", _READER, str(folder)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
)
assert reader.stdout.readline() == "ready\n"
seeds = [path.read_bytes() for path in sorted(folder.glob("*.seed"))]
limits = (str((1 << 30) + 3 * len(seeds[0])), str((1 << 26) + 16 * len(seeds[0])), str(_SECONDS))


def copied() -> str:
    """Copies the file in a process, and says how that ended."""
    global memory
    target.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        status = 1
        with contextlib.suppress(BaseException):
            copy(str(given), str(target), "it", *limits)
            status = 0
        os._exit(status)
    _, status, used = os.wait4(child, 0)
    memory = max(memory, used.ru_maxrss)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "not copied" if os.waitstatus_to_exitcode(status) else "copied"


numbers = random.Random(arguments.seed)
for count in range(1, arguments.files + 1):
    given.write_bytes(mutate(numbers.choice(seeds), numbers))
    outcome = copied()
    outcomes[outcome] += 1
    if outcome == "copied":
        print(file=reader.stdin, flush=True)
        said = reader.stdout.readline().strip() or "CRASH"
        outcomes[f"then {said.split()[0]}"] += 1
        if said.split()[0] in ("FAULT", "CRASH"):
            print(said, flush=True)
            (folder / f"{said.split()[0]}-{count}.h5").write_bytes(given.read_bytes())
            assert said != "CRASH"
    if count % 1000 == 0 or count == arguments.files:
        more = {"seconds": round(time.time() - start), "largest_MB": memory // 1000}
        print(json.dumps({"files": count, **more, **outcomes}), flush=True)
print(folder)
