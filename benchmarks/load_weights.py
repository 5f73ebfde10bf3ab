"""What it costs to build a CRATE-alpha-B with weights, compared with building it without.

    KERAS_BACKEND=torch python benchmarks/load_weights.py

Two files with the same random weights are written first: `a.keras`, and `a.safetensors` with the
authors' names. Then each way of building the model runs in a fresh process, in turns. Time starts
after the imports and after a tiny model was built. It ends when the model is ready. Memory is the
peak resident memory of the whole process.

The script prints medians over rounds:

- seconds, and seconds divided by those of `CRATEAlphaBase()` in the same round;
- peak memory, and how much more it is than that of `CRATEAlphaBase()` in the same round, in sizes
  of the file.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import script

SAFETENSORS, KERAS = "a.safetensors", "a.keras"
BASE = "CRATEAlphaBase()"
WAYS = {
    BASE: None,
    'CRATEAlphaBase(weights="a.safetensors")': SAFETENSORS,
    'CRATEAlphaBase(weights="a.keras")': KERAS,
    'keras.saving.load_model("a.keras")': KERAS,
}


def write_files(folder):
    """Writes both files; returns their sizes in MiB. For a fresh process, as `measure`."""
    import keras

    import keras_crate

    keras.utils.set_random_seed(0)
    model = keras_crate.CRATEAlphaBase()
    model.save(folder / KERAS)
    keras_crate.hub.to_pytorch(model, folder / SAFETENSORS)
    return {name: (folder / name).stat().st_size / 2**20 for name in (SAFETENSORS, KERAS)}


def measure(way, folder):
    """Seconds and peak memory of one way, and a sum of the weights that it loaded."""
    import keras
    import numpy as np
    from memory import peak_memory

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
    return {"seconds": seconds, "mebibytes": mebibytes, "sum_of_weights": total}


def in_turns(folder, rounds):
    """What `measure` found: a list of `rounds` for each way."""
    names, found = list(WAYS), {name: [] for name in WAYS}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            words = ("--folder", folder, "--measure", name)
            found[name].append(script.in_fresh_process(__file__, *words))
            print(f"round {turn + 1}: {name} {found[name][-1]['seconds']:.2f} s", flush=True)
    sums = [run["sum_of_weights"] for name in WAYS if name != BASE for run in found[name]]
    if max(sums) - min(sums) > 1e-6 * max(sums):
        raise RuntimeError(f"The ways loaded different weights. Sums: {sums}")
    return found


def summary(found, sizes):
    """Medians and ratios, by way."""
    rows = {}
    for name, runs in found.items():
        pairs = list(zip(runs, found[BASE], strict=True))
        extra = statistics.median(a["mebibytes"] - b["mebibytes"] for a, b in pairs)
        rows[name] = {
            "seconds": statistics.median(run["seconds"] for run in runs),
            "time_ratio": statistics.median(a["seconds"] / b["seconds"] for a, b in pairs),
            "peak_mebibytes": statistics.median(run["mebibytes"] for run in runs),
            "extra_memory_in_file_sizes": extra / sizes[WAYS[name]] if WAYS[name] else 0.0,
        }
    return rows


def main():
    parser = script.parser(__doc__, rounds=5)
    parser.add_argument("--folder", type=Path, help="folder that keeps the two files")
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
        sizes = script.in_fresh_process(__file__, "--folder", folder, "--write")
        found = in_turns(folder, arguments.rounds)
    rows = summary(found, sizes)
    print(f"\n{'':<42}{'seconds':>8}{'ratio':>8}{'peak MiB':>10}{'extra / file':>14}")
    for name, row in rows.items():
        seconds, ratio, peak, extra = row.values()
        print(f"{name:<42}{seconds:>8.2f}{ratio:>8.2f}{peak:>10.0f}{extra:>14.2f}")

    from machine import machine  # only now: see `in_fresh_process`

    results = {"machine": machine(), "rounds": arguments.rounds, "file_mebibytes": sizes}
    script.write_results(arguments.output, "load_weights", results | {"ways": rows})


if __name__ == "__main__":
    main()
