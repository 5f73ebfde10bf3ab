"""Time and memory of CRATE-B, KerasHub's ViT-S, and the paper's equations in eager PyTorch.

    KERAS_BACKEND=jax python benchmarks/peers.py

Needs the extra `bench`, and PyTorch for the eager comparison. Takes about 15 minutes on two
cores. On a machine with a GPU:

    KERAS_BACKEND=jax python benchmarks/peers.py --dtype mixed_bfloat16 --batches 1 32 256

The models run in one process, in turns. Times are of `predict_on_batch` and `train_on_batch`,
from NumPy to NumPy. The first call of each is reported as the first step and not counted. Peak
memory is that of one step in a fresh process, and includes compiling the step. The script writes
JSON, Markdown and a figure.
"""

import argparse
import gc
import importlib
import os

# Before PyTorch is imported: its idle threads would spin while another library is timed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import report
import script
from contenders import (
    BASES,
    VIT,
    compile_to_train,
    contenders,
    crate,
    images_and_labels,
    multiplications,
    predict_call,
    vit,
)
from machine import accelerator, machine
from memory import peak_raised_by
from timing import compiled, interleaved, matrix_product, ratio

from keras_crate.checks import check_positive
from keras_crate.extras import needed
from keras_crate.layers.attention import attention_form, subspace_attention
from keras_crate.models import fuse

REMATERIALISED = "CRATE-B rematerialised"


def compare(task: str, batches, rounds: int, policy: str) -> list[dict]:
    """Seconds, ratios and rates of all models, one entry for each batch size.

    Args:
        task: `"predict"` or `"train"`.
        batches: Numbers of images.
        rounds: Rounds at batch 8. Larger batches have fewer, but at least 3.
        policy: Keras' dtype policy of the Keras models.
    """
    calls = contenders(task, policy)
    dtype = keras.dtype_policies.get(policy).compute_dtype
    size = 2048 if accelerator() is None else 8192
    passes = {"predict": 1, "train": 3}[task]  # the backward pass counts as two forward ones
    results = []
    for batch in batches:
        images, labels = images_and_labels(batch)
        bound = {
            name: lambda call=call, x=images, y=labels: call(x, y) for name, call in calls.items()
        }
        first = {name: seconds_of(call) for name, call in bound.items()}
        bound["matrix product"] = matrix_product(size, size, dtype)
        turns = max(3, min(3 * rounds, rounds * 8 // batch))
        seconds = interleaved(bound, turns)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        base = BASES[task]
        results.append(
            {
                "task": task,
                "batch": batch,
                "rounds": turns,
                "seconds": {name: medians[name] for name in calls},
                "ratios": {name: ratio(seconds, base, name) for name in calls if name != base},
                "first_step_seconds": first,
                "gflops_of_matrix_product": 2e-9 * size**3 / medians["matrix product"],
                "share_of_matrix_rate": {
                    name: passes * batch * multiplications(name) / size**3
                    * ratio(seconds, "matrix product", name)
                    for name in calls
                },
            }
        )  # fmt: skip
        print(summary(results[-1]), flush=True)
    return results


def seconds_of(call: Callable) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summary(result: dict) -> str:
    """One comparison in a line."""
    base = BASES[result["task"]]
    ratios = ", ".join(f"{value:.2f} x {name}" for name, value in result["ratios"].items())
    return (
        f"{result['task']}, batch {result['batch']}: {base} takes {ratios}; "
        f"{result['batch'] / result['seconds'][base]:.1f} images/s, "
        f"{result['share_of_matrix_rate'][base]:.0%} of the matrix rate"
    )


def scaling(policy: str, rounds: int) -> list[dict]:
    """Seconds per image of the fused model, by resolution and by size, beside ViT-S."""
    cases = [("B", side, batch) for side, batch in ((224, 8), (384, 4), (512, 2))]
    cases += [(size, 224, 8) for size in ("T", "S", "L")]
    results = []
    for size, side, batch in cases:
        images, _ = images_and_labels(batch, side)
        models = {f"CRATE-{size} fused": fuse(crate(size, side, dtype=policy))}
        if size == "B":
            models[VIT] = vit(side, dtype=policy)
        calls = {
            name: lambda model=model, x=images: model.predict_on_batch(x)
            for name, model in models.items()
        }
        for call in calls.values():
            call()
        for name, values in interleaved(calls, max(3, rounds // 2)).items():
            each = statistics.median(values) / batch
            row = {"model": name, "side": side, "batch": batch, "seconds_per_image": each}
            results.append(row)
            print(f"{name} at {side} pixels: {each:.4f} s per image", flush=True)
        del models, calls
        gc.collect()
    return results


def parts(policy: str, rounds: int) -> dict[str, float]:
    """Seconds of the fused model's parts, each for all blocks, at batch 8.

    Each part is compiled alone. The compiled whole can be faster than their sum.
    """
    model = fuse(crate(dtype=policy))
    batch, depth = 8, 12
    dtype = keras.dtype_policies.get(policy).compute_dtype
    rng = np.random.default_rng(0)
    tokens = keras.ops.cast(rng.standard_normal((batch, 197, 768), "float32"), dtype)
    w = keras.ops.cast(rng.standard_normal((batch, 12, 197, 64), "float32"), dtype)
    x = images_and_labels(batch)[0]
    images = keras.ops.convert_to_tensor(x)
    mssa, form = model.get_layer("block_0_mssa"), attention_form(197, dtype, training=False)
    calls = {
        "patch embedding": compiled(model.get_layer("patch_embedding"), images),
        "LayerNormalization": compiled(model.get_layer("block_0_norm_1"), tokens),
        "MSSA: U (Dense, heads apart)": compiled(mssa.coordinates, tokens),
        "MSSA: attention": compiled(lambda w: subspace_attention(w, form), w),
        "MSSA: output map": compiled(mssa.merge, w),
        "sum": compiled(keras.ops.add, tokens, tokens),
        "ISTA (Dense with ReLU)": compiled(model.get_layer("block_0_ista"), tokens),
        "whole model": lambda: model.predict_on_batch(x),
    }
    for call in calls.values():
        call()
    repeats = {"patch embedding": 1, "LayerNormalization": 2 * depth, "whole model": 1}
    return {
        name: repeats.get(name, depth) * statistics.median(seconds)
        for name, seconds in interleaved(calls, rounds).items()
    }


def memory(task: str, batch: int, policy: str) -> dict[str, float]:
    """MiB by which one step raises the peak of a fresh process, by model. For CPUs."""
    names = {
        "predict": ("CRATE-B fused", "CRATE-B", VIT),
        "train": ("CRATE-B", REMATERIALISED, VIT),
    }
    return {
        name: script.in_fresh_process(__file__, "--memory-of", name, task, batch, policy)
        for name in names[task]
    }


def step_memory(name: str, task: str, batch: int, policy: str) -> float:
    """What `memory` measures, in this process."""
    if name == VIT:
        model = vit(dtype=policy)
    else:
        model = crate(dtype=policy, rematerialise=name == REMATERIALISED)
        model = fuse(model) if "fused" in name else model
    compile_to_train(model)
    step = predict_call(model) if task == "predict" else model.train_on_batch
    images, labels = images_and_labels(batch)
    step(images[:1], labels[:1])  # makes the optimizer's variables, and what is compiled once
    gc.collect()
    return peak_raised_by(lambda: step(images, labels))


def import_seconds(repeats: int = 3) -> dict[str, float]:
    """Seconds that a fresh Python takes to import each package, the least of some repeats."""
    code = "import time; start = time.time(); import {}; print(time.time() - start)"
    return {
        package: min(script.in_fresh_process("-c", code.format(package)) for _ in range(repeats))
        for package in ("keras", "keras_crate", "keras_hub")
    }


def run(batches, rounds: int, policy: str, tasks, quick: bool = False) -> dict:
    """All measurements, as values for JSON.

    Args:
        batches: Numbers of images.
        rounds: Rounds of each comparison at batch 8.
        policy: Keras' dtype policy, such as `"mixed_bfloat16"`.
        tasks: `"predict"`, `"train"` or both.
        quick: Whether to leave out imports, memory, resolutions, sizes and parts.
    """
    keras.dtype_policies.get(policy)  # refuses an unknown policy before anything is measured
    with needed("keras-hub", "The comparison with KerasHub's ViT needs"):
        importlib.import_module("keras_hub")
    keras.utils.set_random_seed(0)
    results = {"machine": machine(), "policy": policy, "comparisons": []}
    # Before this process grows: see `in_fresh_process`.
    if not quick and results["machine"]["accelerator"] is None:
        results["import_seconds"] = import_seconds()
        print(f"seconds to import: {results['import_seconds']}", flush=True)
        results["memory_mib"] = {}
        for task in tasks:
            results["memory_mib"][task] = memory(task, max(batches), policy)
            print(f"peak memory, {task}: {results['memory_mib'][task]}", flush=True)
    for task in tasks:
        results["comparisons"] += compare(task, batches, rounds, policy)
        gc.collect()
    if not quick:
        results["scaling"] = scaling(policy, rounds)
        results["parts_seconds"] = parts(policy, rounds)
        rounded = {name: round(value, 4) for name, value in results["parts_seconds"].items()}
        print(f"seconds of parts: {rounded}", flush=True)
    return results


def main(words: list[str] | None = None) -> None:
    parser = script.parser(__doc__, rounds=9)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument("--dtype", default="float32", help="Keras' dtype policy (%(default)s)")
    parser.add_argument("--tasks", nargs="+", choices=BASES, default=[*BASES], metavar="TASK",
                        help="predict, train (both)")  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help="leave out memory, resolutions, sizes and parts"
    )
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)  # the fresh process
    arguments = parser.parse_args(words)
    if arguments.memory_of:
        name, task, batch, policy = arguments.memory_of
        return print(step_memory(name, task, int(batch), policy))
    check_positive("rounds", arguments.rounds)
    batches = [check_positive("batches", batch) for batch in sorted(arguments.batches)]
    results = run(batches, arguments.rounds, arguments.dtype, arguments.tasks, arguments.quick)
    for path in report.write(results, arguments.output):
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
