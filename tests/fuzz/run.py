"""Tries changed files on one reader for a time, and keeps what should not have happened.

    KERAS_BACKEND=torch PYTHONPATH=.:tests python tests/fuzz/run.py npz --seconds 600 --to FOLDER
    ... --atheris    # guided by coverage; needs the package atheris (Python 3.11 to 3.13)

Findings are written to FOLDER/NAME-HASH. Make a small test of each kind, or add the file to
tests/fuzz/findings.
"""

import argparse
import collections
import hashlib
import json
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("reader")
parser.add_argument("--seconds", type=int, default=600)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--to", type=Path, default=Path("fuzzed"))
parser.add_argument("--atheris", action="store_true")
arguments = parser.parse_args()

if arguments.atheris:
    import atheris

    with atheris.instrument_imports(include=["keras_crate", "zipfile", "json", "numpy.lib"]):
        from fuzz.readers import READERS

        import keras_crate
else:
    from fuzz.readers import READERS

    import keras_crate
from fuzz.mutations import mutate
from fuzz.reader import Fault, check

reader = {reader.name: reader for reader in READERS}[arguments.reader]
seeds = reader.seeds()
outcomes: collections.Counter = collections.Counter()
places: set = set()  # lines that raised a fault: each is kept once
folder = Path(tempfile.mkdtemp())
start = time.time()


def try_one(content: bytes) -> None:
    try:
        outcomes[check(reader, content, folder) or "read"] += 1
    except Fault as fault:
        cause = fault.__cause__
        frames = traceback.extract_tb(cause.__traceback__) if cause else []
        own = [f for f in frames if f"{Path(keras_crate.__file__).parent}" in f.filename]
        place = (type(cause).__name__, own[-1].filename, own[-1].lineno) if own else str(fault)[:60]
        outcomes["FAULT"] += 1
        if place not in places:
            places.add(place)
            arguments.to.mkdir(parents=True, exist_ok=True)
            name = f"{reader.name}-{hashlib.sha256(content).hexdigest()[:8]}"
            (arguments.to / name).write_bytes(content)
            print(f"{name} {place}\n{fault}", flush=True)
    if sum(outcomes.values()) % 1000 == 0:
        say()


def say() -> None:
    total = {"files": sum(outcomes.values()), "seconds": round(time.time() - start)}
    print(json.dumps({"reader": reader.name, **total, **outcomes}), flush=True)


if arguments.atheris:

    def changed(data: bytes, most: int, seed: int) -> bytes:
        numbers = random.Random(seed)
        if numbers.random() < 0.5:
            return atheris.Mutate(data, most)
        return mutate(data or numbers.choice(seeds), numbers, reader.kept)[:most]

    corpus = Path(tempfile.mkdtemp())
    for index, content in enumerate(seeds):
        (corpus / str(index)).write_bytes(content)
    most = 4 * max(map(len, seeds))
    options = [f"-max_total_time={arguments.seconds}", f"-max_len={most}", "-timeout=300"]
    options += ["-rss_limit_mb=0", f"-seed={arguments.seed + 1}"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], try_one, custom_mutator=changed)
    atheris.Fuzz()
else:
    numbers = random.Random(arguments.seed)
    while time.time() - start < arguments.seconds:
        try_one(mutate(numbers.choice(seeds), numbers, reader.kept))
    say()
