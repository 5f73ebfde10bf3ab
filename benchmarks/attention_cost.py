"""What MSSA, TSSA and CBSA cost as the number of tokens grows: time and memory of one layer.

    KERAS_BACKEND=jax python benchmarks/attention_cost.py

MSSA compares all pairs of tokens, TSSA only sums over them, and CBSA compares them with 8x8
representatives. The tokens are a class token and the patches of an image. The script measures a
forward pass of one layer on a CPU, for batch 1 in float32. It is compiled under JAX and
TensorFlow. PyTorch runs eagerly, without gradients.

Time is processor time, because other work on the machine changes it less than elapsed time. Under
Linux it is measured on one core. The numbers are medians of runs in turns.

Memory is the growth of the peak resident memory by one call. It is measured in a fresh process
for each layer and number of tokens, which first runs the layer on 17 tokens, makes its input and
compiles. So it includes the output, all intermediate results and the backend's buffers, but
neither weights nor input. Memory that the process freed before and kept is not counted.

The exponent is the slope of log cost against log tokens over the largest four sizes.
"""

import argparse
import os
import statistics
import time

import numpy as np
import script

LAYERS = ("MSSA", "TSSA", "CBSA")
COLUMNS = 16  # of the grid of patches
SMALLEST = 256 + 1
WARM_UP = 16 + 1
LARGEST_SIZES = 4  # that an exponent is fitted to


def make_layer(name, n, dim, heads):
    import keras_crate

    grid = {"grid": (n // COLUMNS, COLUMNS)} if name == "CBSA" else {}
    layer = getattr(keras_crate.layers, name)(heads=heads, **grid)
    layer.build((1, n, dim))
    return layer


def call_of(layer, n, dim):
    """A compiled call of the layer on n random tokens."""
    import keras
    from timing import compiled

    tokens = np.random.default_rng(0).standard_normal((1, n, dim), "float32")
    return compiled(lambda x: layer(x, training=False), keras.ops.convert_to_tensor(tokens))


def measure_memory(name, n, dim, heads) -> float:
    """MiB by which one call raises the peak. For a fresh process."""
    from memory import peak_raised_by

    call_of(make_layer(name, WARM_UP, dim, heads), WARM_UP, dim)()
    return peak_raised_by(call_of(make_layer(name, n, dim, heads), n, dim))


def measure_times(sizes, dim, heads, rounds) -> dict:
    """Median milliseconds of a call: for each layer, one for each size."""
    from timing import interleaved

    medians = {name: [] for name in LAYERS}
    for n in sizes:
        calls = {name: call_of(make_layer(name, n, dim, heads), n, dim) for name in LAYERS}
        for call in calls.values():
            call()
        for name, seconds in interleaved(calls, rounds, time.process_time).items():
            medians[name].append(1e3 * statistics.median(seconds))
    return medians


def exponent(sizes, costs) -> float | None:
    """Slope of log cost against log tokens; None if a cost was too small to measure."""
    if min(costs[-LARGEST_SIZES:]) <= 0:
        return None
    logs = (np.log(values[-LARGEST_SIZES:]) for values in (sizes, costs))
    return float(np.polyfit(*logs, 1)[0])


def print_table(title, sizes, costs):
    columns = "".join(f"{name:>10} growth " for name in LAYERS)
    print(f"\n{title:<15}{columns}  MSSA/TSSA  MSSA/CBSA")
    for i, n in enumerate(sizes):
        row = f"{n:>8} tokens"
        for name in LAYERS:
            cost, last = costs[name][i], costs[name][i - 1]
            growth = f"x {cost / last:.2f}" if i and last > 0 else ""
            row += f"{cost:>10.2f} {growth:<7}"
        mssa, *others = (costs[name][i] for name in LAYERS)
        print(
            row + "".join(f"{mssa / cost:>11.1f}" if cost > 0 else f"{'-':>11}" for cost in others)
        )
    fitted = {name: exponent(sizes, costs[name]) for name in LAYERS}
    print("exponents: " + ", ".join(f"{k} {v:.2f}" for k, v in fitted.items() if v is not None))


def plot(results, path):
    from keras_crate.figure import new_figure

    figure = new_figure(7, 3.2)
    sizes = np.array(results["tokens"])
    panels = (("milliseconds", "processor time (ms)"), ("mebibytes", "peak memory (MiB)"))
    for axes, (key, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for name, colour, slope in (("MSSA", "C3", 2), ("TSSA", "C0", 1), ("CBSA", "C2", 1)):
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
    parser = script.parser(__doc__, rounds=7)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--largest", type=int, default=16384, help="patches (%(default)s)")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args()
    dim, heads = arguments.dim, arguments.heads
    if arguments.memory_of:
        name, n = arguments.memory_of
        return print(measure_memory(name, int(n), dim, heads))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    sizes = [SMALLEST]
    while 2 * sizes[-1] - 1 <= arguments.largest + 1:
        sizes.append(2 * sizes[-1] - 1)  # twice as many patches
    # Before this process imports Keras: see `in_fresh_process`.
    options = ("--dim", dim, "--heads", heads)
    mebibytes = {
        name: [script.in_fresh_process(__file__, "--memory-of", name, n, *options) for n in sizes]
        for name in LAYERS
    }
    milliseconds = measure_times(sizes, dim, heads, arguments.rounds)

    import keras
    from machine import machine

    costs = {"milliseconds": milliseconds, "mebibytes": mebibytes}
    results = {
        "machine": machine(),
        "dim": dim,
        "heads": heads,
        "rounds": arguments.rounds,
        "tokens": sizes,
        **costs,
        "exponents": {
            key: {name: exponent(sizes, cost[name]) for name in LAYERS}
            for key, cost in costs.items()
        },
    }
    print(f"{keras.backend.backend()}, width {dim}, {heads} heads, batch 1, float32")
    print_table("time (ms)", sizes, milliseconds)
    print_table("memory (MiB)", sizes, mebibytes)
    script.write_results(arguments.output, "attention_cost", results)
    plot(results, arguments.output / f"attention_cost_{keras.backend.backend()}.png")


if __name__ == "__main__":
    main()
