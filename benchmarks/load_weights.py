"""What it costs to build a CRATE-alpha-B with weights, beside building it without.

    KERAS_BACKEND=torch python benchmarks/load_weights.py --output benchmarks/results

Two files with the same random weights are written first: `a.keras`, and `a.safetensors` with the
authors' names. Then each way of building the model runs in a fresh process, in turns. Time is from
after the imports, and after a tiny model was built, until the model is ready. Memory is the peak
resident memory of the whole process. Printed are medians over rounds: seconds, seconds over those
of `CRATEAlphaBase()` in the same round, and peak memory above that of `CRATEAlphaBase()` in the
same round, in sizes of the file. `--output` also writes load_weights_BACKEND.json into a folder.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAFETENSORS, KERAS = "a.safetensors", "a.keras"
BASE = "CRATEAlphaBase()"
WAYS = {
    BASE: None,
    'CRATEAlphaBase(weights="a.safetensors")': SAFETENSORS,
    'CRATEAlphaBase(weights="a.keras")': KERAS,
    'keras.saving.load_model("a.keras")': KERAS,
}


# The first process imports no Keras: a new process starts from its parent's peak memory.
def in_fresh_process(*words):
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def write_files(folder):
    import keras

    import keras_crate

    keras.utils.set_random_seed(0)
    model = keras_crate.CRATEAlphaBase()
    model.save(folder / KERAS)
    keras_crate.hub.to_pytorch(model, folder / SAFETENSORS)
    return {name: (folder / name).stat().st_size / 2**20 for name in (SAFETENSORS, KERAS)}


def measure(way, folder):
    """One way's seconds and peak memory in MiB, and a sum of its weights."""
    import keras
    import numpy as np
    from timing import peak_memory

    import keras_crate

    keras_crate.CRATEAlpha(12, 1, 3, input_shape=(16, 16, 3), patch_size=8, classes=2)
    file = folder / WAYS[way] if WAYS[way] else None
    start = time.perf_counter()
    if way.startswith("keras.saving"):
        model = keras.saving.load_model(file)
    else:
        model = keras_crate.CRATEAlphaBase(weights=file)
    for weight in model.weights:
        if hasattr(weight.value, "block_until_ready"):  # JAX computes in the background
            weight.value.block_until_ready()
    seconds, mebibytes = time.perf_counter() - start, peak_memory()
    total = sum(float(np.abs(w).sum(dtype="float64")) for w in model.get_weights())
    return {
        "seconds": seconds,
        "mebibytes": mebibytes,
        "sum_of_weights": total,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
    }


def in_turns(folder, rounds):
    """What `measure` finds: a list of `rounds` for each way."""
    names, found = list(WAYS), {name: [] for name in WAYS}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            found[name].append(in_fresh_process("--folder", folder, "--measure", name))
            print(f"round {turn + 1}: {name} {found[name][-1]['seconds']:.2f} s", flush=True)
    return found


def summary(found, sizes):
    """Medians and ratios, by way."""
    rows = {}
    for name, runs in found.items():
        pairs = list(zip(runs, found[BASE], strict=True))
        rows[name] = {
            "seconds": statistics.median(run["seconds"] for run in runs),
            "time_ratio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
            "peak_mebibytes": statistics.median(run["mebibytes"] for run in runs),
        }
        if WAYS[name]:
            extra = statistics.median(a["mebibytes"] - b["mebibytes"] for a, b in pairs)
            rows[name]["extra_memory_in_file_sizes"] = extra / sizes[WAYS[name]]
    return rows


def check_weights(found):
    """Refuses results of ways that loaded different weights."""
    sums = [run["sum_of_weights"] for name in WAYS if name != BASE for run in found[name]]
    if max(sums) - min(sums) > 1e-6 * max(sums):
        raise RuntimeError(f"The ways loaded different weights. Sums: {sums}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="keeps the two files here")
    parser.add_argument("--output", type=Path, help="folder for the JSON file")
    parser.add_argument("--write", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        return print(json.dumps(write_files(arguments.folder)))
    if arguments.measure:
        return print(json.dumps(measure(arguments.measure, arguments.folder)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sizes = in_fresh_process("--folder", folder, "--write")
        found = in_turns(folder, arguments.rounds)
    check_weights(found)
    rows = summary(found, sizes)
    print(f"\n{'':<42}{'seconds':>8}{'ratio':>8}{'peak MiB':>10}{'extra / file':>14}")
    for name, row in rows.items():
        extra = row.get("extra_memory_in_file_sizes")
        print(f"{name:<42}{row['seconds']:>8.2f}{row['time_ratio']:>8.2f}"
              f"{row['peak_mebibytes']:>10.0f}{'' if extra is None else f'{extra:>14.2f}'}")  # fmt: skip
    if arguments.output:
        run = found[BASE][0]
        results = {"backend": run["backend"], "keras": run["keras"], "rounds": arguments.rounds}
        arguments.output.mkdir(parents=True, exist_ok=True)
        path = arguments.output / f"load_weights_{run['backend']}.json"
        results |= {"file_mebibytes": sizes, "ways": rows}
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
