"""CRATE beside its peers: KerasHub's ViT-S, and the paper's equations in eager PyTorch.

What is compared runs in one process, in turns. Times are those of the public
methods `predict_on_batch` and `train_on_batch`, from NumPy to NumPy, after one
call of each that is not counted but as the first step's.
"""

import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
from keras_crate.benchmark.eager import EagerCRATE
from keras_crate.benchmark.timing import (
    compiled,
    interleaved,
    matrix_product,
    peak_raised_by,
    ratio,
)

from keras_crate.extras import needed
from keras_crate.layers.attention import attention_form, subspace_attention
from keras_crate.models import CRATEBase, CRATELarge, CRATESmall, CRATETiny, fuse
from keras_crate.weights.sizes import SIZES

SIZES_OF_CRATE = {"T": CRATETiny, "S": CRATESmall, "B": CRATEBase, "L": CRATELarge}
BASES = {"predict": "CRATE-B fused", "train": "CRATE-B"}  # whose ratios to the others are wanted
ENVIRONMENT = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")
VIT, EAGER = "ViT-S (KerasHub)", "CRATE-B, eager PyTorch, three products"


def crate(size: str = "B", side: int = 224, **options) -> keras.Model:
    """A CRATE that gives logits for normalised images."""
    shape = (side, side, 3)
    bare = {"include_preprocessing": False, "classifier_activation": None}
    return SIZES_OF_CRATE[size](input_shape=shape, data_format="channels_last", **bare, **options)


def vit(side: int = 224, **options) -> keras.Model:
    """KerasHub's ViT-S/16 that gives logits: 22.05 million parameters at 224 pixels."""
    with needed("keras-hub", "The comparison with KerasHub's ViT needs"):
        from keras_hub import models
    backbone = models.ViTBackbone(
        image_shape=(side, side, 3),
        patch_size=16,
        num_layers=12,
        num_heads=6,
        hidden_dim=384,
        mlp_dim=1536,
        **options,
    )
    return models.ViTImageClassifier(backbone, num_classes=1000, activation=None, **options)


def multiplications(name: str, side: int = 224) -> int:
    """Of an image's forward pass, by counting the products of matrices.

    Args:
        name: `"ViT-S"`, or `"CRATE-B"` with another size's letter, followed by
            nothing (one product in ISTA), `" three"`.
        side: Of the image, in pixels.
    """
    n, patch = (side // 16) ** 2 + 1, 16 * 16 * 3
    if name == "ViT-S":
        dim, depth, linear = 384, 12, 12
    else:
        size = {"T": "Tiny", "S": "Small", "B": "Base", "L": "Large"}[name[6]]
        dim, depth, *_ = SIZES[f"CRATE{size}"]
        linear = 5 if name.endswith("three") else 3
    blocks = depth * (linear * n * dim**2 + 2 * n**2 * dim)
    return (n - 1) * patch * dim + blocks + dim * 1000


def images_and_labels(batch: int, side: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """Random ones."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, side, side, 3), "float32")
    return images, rng.integers(0, 1000, batch)


def compile_to_train(model: keras.Model) -> keras.Model:
    """AdamW and cross-entropy, for every contender alike."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss)
    return model


def contenders(task: str, policy: str) -> dict[str, Callable]:
    """What is compared, by name: functions of images and labels."""
    options = {"dtype": policy}
    base = crate(**options)
    dtype = keras.dtype_policies.get(policy).compute_dtype
    has_torch = importlib.util.find_spec("torch") is not None
    eager = EagerCRATE(crate(dtype="float32"), dtype=dtype) if has_torch else None
    if task == "predict":
        models = {BASES[task]: fuse(base), "CRATE-B": base, VIT: vit(**options)}
        calls = {
            name: lambda x, y, model=model: model.predict_on_batch(x)
            for name, model in models.items()
        }
        if eager:
            calls[EAGER] = lambda x, y: eager.predict(x)
        return calls
    models = {BASES[task]: base, VIT: vit(**options)}
    calls = {name: compile_to_train(model).train_on_batch for name, model in models.items()}
    if eager:
        calls[EAGER] = eager.train
    return calls


def compare(task: str, batches, rounds: int, policy: str, report: Callable) -> list[dict]:
    """Seconds, ratios and rates of all contenders, one entry a batch size.

    Args:
        task: `"predict"` or `"train"`.
        batches: Numbers of images.
        rounds: At batch 8; at larger ones fewer, in proportion, but at least 3.
        policy: Keras' dtype policy of the Keras models.
        report: Called with a line of text as things go on.
    """
    results = []
    calls = contenders(task, policy)
    base = BASES[task]
    times_forward = {"predict": 1, "train": 3}[task]  # the backward pass is two forward ones
    for batch in batches:
        images, labels = images_and_labels(batch)
        bound = {
            name: lambda call=call, x=images, y=labels: call(x, y) for name, call in calls.items()
        }
        first = {}
        for name, call in bound.items():
            start = time.perf_counter()
            call()
            first[name] = time.perf_counter() - start
        dtype = keras.dtype_policies.get(policy).compute_dtype
        size = 2048 if accelerator() is None else 8192
        bound["matrix product"] = matrix_product(size, size, dtype)
        turns = max(3, min(3 * rounds, rounds * 8 // batch))
        seconds = interleaved(bound, turns)
        rate = statistics.median(size**3 / s for s in seconds["matrix product"])
        counted = {VIT: "ViT-S", EAGER: "CRATE-B three"}
        share = {
            name: times_forward
            * batch
            * multiplications(counted.get(name, "CRATE-B"))
            * ratio(seconds, "matrix product", name)
            / size**3
            for name in calls
        }
        results.append(
            {
                "task": task,
                "batch": batch,
                "rounds": turns,
                "seconds": {name: statistics.median(seconds[name]) for name in calls},
                "ratios": {name: ratio(seconds, base, name) for name in calls if name != base},
                "first_step_seconds": first,
                "gflops_of_matrix_product": 2e-9 * rate,
                "share_of_matrix_rate": share,
            }
        )
        report(summary(results[-1]))
    return results


def summary(result: dict) -> str:
    """One comparison in a line."""
    base = BASES[result["task"]]
    ratios = ", ".join(f"{value:.2f} x {name}" for name, value in result["ratios"].items())
    return (
        f"{result['task']}, batch {result['batch']}: {base} takes {ratios}; "
        f"{result['batch'] / result['seconds'][base]:.1f} images/s, "
        f"{result['share_of_matrix_rate'][base]:.0%} of the matrix rate"
    )


def scaling(policy: str, rounds: int, report: Callable) -> list[dict]:
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
        seconds = interleaved(calls, max(3, rounds // 2))
        for name, values in seconds.items():
            results.append(
                {
                    "model": name,
                    "side": side,
                    "batch": batch,
                    "seconds_per_image": statistics.median(values) / batch,
                }
            )
            report(f"{name} at {side} pixels: {results[-1]['seconds_per_image']:.4f} s an image")
        del models, calls
        gc.collect()
    return results


def parts(policy: str, rounds: int) -> dict[str, float]:
    """Where the fused model's time goes: seconds of its parts alone, batch 8, all blocks.

    The parts are compiled one by one, so that what is gained by compiling them
    together is missing: their sum need not be the whole.
    """
    model = fuse(crate(dtype=policy))
    batch, depth = 8, 12
    dtype = keras.dtype_policies.get(policy).compute_dtype
    rng = np.random.default_rng(0)
    tokens = keras.ops.cast(rng.standard_normal((batch, 197, 768), "float32"), dtype)
    w = keras.ops.cast(rng.standard_normal((batch, 12, 197, 64), "float32"), dtype)
    images = keras.ops.convert_to_tensor(images_and_labels(batch)[0])
    mssa, form = model.get_layer("block_0_mssa"), attention_form(197, dtype, training=False)
    calls = {
        "patch embedding": compiled(model.get_layer("patch_embedding"), images),
        "LayerNormalization": compiled(model.get_layer("block_0_norm_1"), tokens),
        "MSSA: U (Dense, heads apart)": compiled(mssa.coordinates, tokens),
        "MSSA: attention": compiled(lambda w: subspace_attention(w, form), w),
        "MSSA: output map": compiled(mssa.merge, w),
        "sum": compiled(keras.ops.add, tokens, tokens),
        "ISTA (Dense with ReLU)": compiled(model.get_layer("block_0_ista"), tokens),
    }
    repeats = {name: depth for name in calls} | {"patch embedding": 1}
    repeats["LayerNormalization"] = 2 * depth
    x = np.asarray(images_and_labels(batch)[0])
    calls["whole model"] = lambda: model.predict_on_batch(x)
    for call in calls.values():
        call()
    seconds = interleaved(calls, rounds)
    return {name: repeats.get(name, 1) * statistics.median(s) for name, s in seconds.items()}


def memory(task: str, batch: int, policy: str) -> dict[str, float]:
    """MiB by which one step raises the peak of a fresh process, for each contender.

    On a CPU. It counts what compiling the step takes, where it is compiled.
    """
    found = {}
    names = {
        "predict": ("CRATE-B fused", "CRATE-B", VIT),
        "train": ("CRATE-B", "CRATE-B rematerialised", VIT),
    }
    for name in names[task]:
        code = (
            "from keras_crate.benchmark.peers import print_memory; "
            f"print_memory({name!r}, {task!r}, {batch}, {policy!r})"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True
        )
        found[name] = float(done.stdout.split()[-1])
    return found


def print_memory(name: str, task: str, batch: int, policy: str) -> None:
    """What `memory` runs in a fresh process."""
    if name == VIT:
        model = vit(dtype=policy)
    else:
        model = crate(dtype=policy, rematerialise="rematerialised" in name)
        model = fuse(model) if "fused" in name else model
    images, labels = images_and_labels(batch)
    compile_to_train(model)
    step = (lambda x, y: model.predict_on_batch(x)) if task == "predict" else model.train_on_batch
    step(images[:1], labels[:1])  # state of the optimizer, and what is compiled once
    gc.collect()
    print(peak_raised_by(lambda: step(images, labels)))


def import_seconds(repeats: int = 3) -> dict[str, float]:
    """Seconds that a fresh Python takes to import each, the least of some turns."""
    found = {}
    for package in ("keras", "keras_crate", "keras_hub"):
        code = f"import time; start = time.time(); import {package}; print(time.time() - start)"
        command = [sys.executable, "-c", code]
        seconds = (
            float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()[-1])
            for _ in range(repeats)
        )
        found[package] = min(seconds)
    return found


def accelerator() -> str | None:
    """Name of the accelerator that Keras computes on; None on a CPU."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else device.device_kind
    if backend == "tensorflow":
        import tensorflow as tf

        devices = tf.config.list_physical_devices("GPU")
        return (
            tf.config.experimental.get_device_details(devices[0])["device_name"]
            if devices
            else None
        )
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def machine() -> dict:
    """What the numbers were measured on."""
    backend = keras.backend.backend()
    packages = {"tensorflow": ("tensorflow", "tensorflow-cpu")}.get(backend, (backend,))
    versions = {"python": platform.python_version()}
    for package in ("keras", "keras-hub", "torch", *packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "backend": backend,
        "versions": versions,
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "accelerator": accelerator(),
        "environment": {k: v for k, v in os.environ.items() if k in ENVIRONMENT},
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def run(
    batches=(1, 8, 32),
    rounds: int = 9,
    policy: str = "float32",
    tasks=("predict", "train"),
    report: Callable = print,
    with_memory: bool = True,
    with_scaling: bool = True,
) -> dict:
    """All measurements.

    Args:
        batches: Numbers of images at a time.
        rounds: Of each comparison, at batch 8.
        policy: Keras' dtype policy, such as `"mixed_bfloat16"`.
        tasks: `"predict"`, `"train"` or both.
        report: Called with lines of text as things go on.
        with_memory: Whether imports and peak memory are measured, in processes of
            their own; on a CPU only.
        with_scaling: Whether resolutions and sizes are measured.

    Returns:
        What `report.write` takes: plain Python, ready for JSON.
    """
    keras.utils.set_random_seed(0)
    results = {"machine": machine(), "policy": policy, "comparisons": []}
    keras.dtype_policies.get(policy)  # what is wrong is to be told now, not after minutes
    with needed("keras-hub", "The comparison with KerasHub's ViT needs"):
        importlib.import_module("keras_hub")
    if (
        with_memory and results["machine"]["accelerator"] is None
    ):  # before this process grows: a new one starts from its parent's peak
        results["import_seconds"] = import_seconds()
        report(f"seconds to import: {results['import_seconds']}")
        results["memory_mib"] = {}
        for task in tasks:
            results["memory_mib"][task] = memory(task, max(batches), policy)
            report(f"peak memory, {task}, batch {max(batches)}: {results['memory_mib'][task]}")
    for task in tasks:
        results["comparisons"] += compare(task, batches, rounds, policy, report)
        gc.collect()
    if with_scaling:
        results["scaling"] = scaling(policy, rounds, report)
        results["parts_seconds"] = parts(policy, rounds)
        report(
            "parts: " + json.dumps({k: round(v, 4) for k, v in results["parts_seconds"].items()})
        )
    return results
