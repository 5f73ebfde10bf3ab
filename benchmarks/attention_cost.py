"""What MSSA and TSSA cost as the number of tokens grows: time and memory, measured.

    KERAS_BACKEND=jax python benchmarks/attention_cost.py

MSSA compares all pairs of tokens, TSSA only sums over them. Measured is a forward
pass of one layer on a CPU, batch 1, float32, compiled where the backend compiles
(JAX; TensorFlow as a graph); PyTorch runs eagerly, without gradients.

Time: processor time, which other work on the machine disturbs less than elapsed
time, on one core where the system lets a process choose (Linux). Median of runs that
alternate between the two layers, after one of each that is not counted, in one
process.

Memory: a fresh process for each layer and number of tokens. It runs the layer on
`WARM_UP` tokens, makes its input, compiles (JAX), and calls the layer once: the
peak resident memory (`ru_maxrss`) by then, minus that before the call. This counts
the output and all intermediate results, and what buffers the backend takes; neither
weights nor input. Memory that was freed before and not given back to the system is
not seen, nor is what an import freed where the peak cannot be reset (outside Linux).

The exponent is the slope of log cost against log tokens over the largest four sizes.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

LAYERS = ("MSSA", "TSSA")
SMALLEST = 256
WARM_UP = 16
LARGEST_SIZES = 4  # that an exponent is fitted to


def compiled(name, dim, heads):
    """A function of n that makes a layer's call on n random tokens, compiled."""
    import keras

    import keras_crate  # before keras, for which it picks an installed backend

    layer = getattr(keras_crate.layers, name)(heads=heads)
    layer.build((1, None, dim))
    backend = keras.backend.backend()

    def inputs(n):
        rng = np.random.default_rng(0)
        return keras.ops.convert_to_tensor(rng.standard_normal((1, n, dim), "float32"))

    if backend == "jax":
        import jax

        def prepare(n):
            x = inputs(n)
            function = jax.jit(lambda x: layer(x, training=False)).lower(x).compile()
            return lambda: jax.block_until_ready(function(x))

    elif backend == "tensorflow":
        import tensorflow as tf

        # One graph for every n, so that a tiny call warms up the large ones.
        signature = [tf.TensorSpec((1, None, dim), "float32")]
        function = tf.function(lambda x: layer(x, training=False), input_signature=signature)

        def prepare(n):
            x = inputs(n)
            return lambda: function(x).numpy()

    else:
        import torch

        def prepare(n):
            x = inputs(n)

            def call():
                with torch.no_grad():
                    layer(x, training=False)

            return call

    return prepare


def measure_memory(name, n, dim, heads) -> float:
    """MiB by which one call raises the peak. For a fresh process."""
    from keras_crate.benchmark.timing import peak_raised_by

    prepare = compiled(name, dim, heads)
    prepare(WARM_UP)()
    call = prepare(n)
    return peak_raised_by(call)


def measure_times(sizes, dim, heads, repeats) -> dict:
    """Median seconds of a call: for each layer, one per size."""
    prepares = {name: compiled(name, dim, heads) for name in LAYERS}
    medians = {name: [] for name in LAYERS}
    for n in sizes:
        calls = {name: prepare(n) for name, prepare in prepares.items()}
        times = {name: [] for name in LAYERS}
        for turn in range(repeats + 1):
            for name, call in calls.items():
                start = time.process_time()
                call()
                if turn:  # the first warms up
                    times[name].append(time.process_time() - start)
        for name in LAYERS:
            medians[name].append(statistics.median(times[name]))
    return medians


def exponent(sizes, costs) -> float | None:
    """Slope of log cost against log tokens, where the costs were seen at all."""
    if min(costs[-LARGEST_SIZES:]) <= 0:
        return None
    logs = (np.log(values[-LARGEST_SIZES:]) for values in (sizes, costs))
    return float(np.polyfit(*logs, 1)[0])


def print_table(title, sizes, costs):
    print(f"\n{title:<14}{'MSSA':>10} growth {'TSSA':>10} growth   MSSA/TSSA")
    for i, n in enumerate(sizes):
        row = f"{n:>8} tokens"
        for name in LAYERS:
            cost, last = costs[name][i], costs[name][i - 1]
            growth = f"x {cost / last:.2f}" if i and last > 0 else ""
            row += f"{cost:>10.2f} {growth:<7}"
        mssa, tssa = (costs[name][i] for name in LAYERS)
        print(row + (f"{mssa / tssa:>11.1f}" if tssa > 0 else ""))
    fitted = {name: exponent(sizes, costs[name]) for name in LAYERS}
    print("exponents: " + ", ".join(f"{k} {v:.2f}" for k, v in fitted.items() if v is not None))


def plot(results, path):
    from keras_crate.figure import new_figure

    figure = new_figure(7, 3.2)
    sizes = np.array(results["tokens"])
    panels = (("milliseconds", "processor time (ms)"), ("mebibytes", "peak memory (MiB)"))
    for axes, (key, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for name, colour, slope in (("MSSA", "C3", 2), ("TSSA", "C0", 1)):
            costs = np.array(results[key][name])
            seen = costs > 0
            axes.loglog(sizes[seen], costs[seen], "o-", ms=4, color=colour, label=name)
            guide = costs[-1] * (sizes / sizes[-1]) ** float(slope)
            shown = guide > costs[seen].min() / 2
            axes.loglog(sizes[shown], guide[shown], ":", lw=1, color=colour, label=f"slope {slope}")
        axes.set(xlabel="tokens n", ylabel=label)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=45, minor=False)
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--largest", type=int, default=16384, help="tokens (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    dim, heads = arguments.dim, arguments.heads
    if arguments.memory_of:
        name, n = arguments.memory_of
        print(measure_memory(name, int(n), dim, heads))
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sizes = [SMALLEST]
    while 2 * sizes[-1] <= arguments.largest:
        sizes.append(2 * sizes[-1])
    # Before this process imports Keras: a new process starts from its parent's peak.
    mebibytes = {name: [] for name in LAYERS}
    for name in LAYERS:
        for n in sizes:
            command = [sys.executable, __file__, "--memory-of", name, str(n)]
            command += ["--dim", str(dim), "--heads", str(heads)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            mebibytes[name].append(float(output.split()[-1]))
    seconds = measure_times(sizes, dim, heads, arguments.repeats)
    milliseconds = {name: [1e3 * s for s in seconds[name]] for name in LAYERS}

    import keras

    backend = keras.backend.backend()
    version = importlib.import_module(backend).__version__
    costs = {"milliseconds": milliseconds, "mebibytes": mebibytes}
    results = {
        "backend": backend,
        "versions": {"keras": keras.__version__, backend: version},
        "dim": dim,
        "heads": heads,
        "repeats": arguments.repeats,
        "tokens": sizes,
        **costs,
        "exponents": {
            key: {name: exponent(sizes, cost[name]) for name in LAYERS}
            for key, cost in costs.items()
        },
    }
    print(f"{backend} {version}, width {dim}, {heads} heads, batch 1, float32")
    print_table("time (ms)", sizes, milliseconds)
    print_table("memory (MiB)", sizes, mebibytes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"attention_cost_{backend}"
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results, path.with_suffix(".png"))
    print(f"\nwrote {path}.json and .png")


if __name__ == "__main__":
    main()
