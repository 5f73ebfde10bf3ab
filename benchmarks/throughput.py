"""Images per second of the published sizes, in inference and in training.

    KERAS_BACKEND=jax python benchmarks/throughput.py --output results/throughput_h200.json

Each model sees random images of 224 x 224 pixels, which lie on the device. Inference is a forward
pass, of the fused model (`keras_crate.fuse`) for models of this package. A training step is
forward, backward and AdamW: Keras' own `train_step`, as `fit` runs it. JAX and TensorFlow compile
it as a whole, and PyTorch runs it eagerly. The first two steps are not counted. The next ones are
counted for `--seconds`, without waiting between them.

Besides sizes such as `CRATEBase`, `--models` takes `ViTSmall`, KerasHub's ViT-S/16 (needs
keras-hub), and under PyTorch `EagerCRATEBase` (Tiny, Small, Large): the paper's equations as
`eager.py` has them.

The file is a list with one entry for each model. It is written after each model. Entries of other
models, backends and devices in the file stay. If a batch does not fit into the memory, half of it
is tried, and the entry has `batch_inference` or `batch_training`.
"""

import argparse
import gc
import json
import math
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import keras
from contenders import compile_to_train, images_and_labels, vit
from eager import EagerCRATE
from machine import machine
from timing import started, wait

import keras_crate
from keras_crate.checks import check_above_zero, check_choice, check_positive
from keras_crate.files import write_json
from keras_crate.weights.sizes import SIZES, family_of

TASKS = ("inference", "training")
EAGER, VIT = "Eager", "ViTSmall"
NAMES = (*SIZES, VIT, *(EAGER + size for size in SIZES if family_of(size) == "CRATE"))
DEFAULT = ("CRATETiny", "CRATESmall", "CRATEBase", "CRATELarge", "CRATEAlphaBase", "CBTBase", VIT)


def make_model(name: str, policy: str) -> keras.Model:
    """A model of 224 x 224 pixels that computes logits; a CRATE-MAE computes patches."""
    if name == VIT:
        return vit(dtype=policy)
    options = {"data_format": "channels_last", "include_preprocessing": False, "dtype": policy}
    if family_of(name) != "CRATEMAE":
        options["classifier_activation"] = None
    return getattr(keras_crate, name)(**options)


def make_step(name: str, task: str, batch: int, policy: str) -> Callable:
    """A function without arguments that starts one step, and returns tensors to wait for."""
    images, labels = (keras.ops.convert_to_tensor(x) for x in images_and_labels(batch))
    if name.startswith(EAGER):
        dtype = keras.dtype_policies.get(policy).compute_dtype
        eager = EagerCRATE(make_model(name.removeprefix(EAGER), "float32"), dtype=dtype)
        if task == "training":
            return lambda: eager.train_step(images, labels)
        return lambda: eager.logits(images)
    model = make_model(name, policy)
    if task == "training":
        return training_step(model, images, labels)
    return forward_pass(model if name == VIT else keras_crate.fuse(model), images)


def forward_pass(model: keras.Model, images) -> Callable:
    """One forward pass. Weights are arguments under JAX, which would fold constants."""
    if keras.backend.backend() != "jax":
        return started(model, images)
    weights = ([v.value for v in group] for group in _weights(model))
    return started(lambda *arguments: model.stateless_call(*arguments)[0], *weights, images)


def training_step(model: keras.Model, images, labels) -> Callable:
    """One step of AdamW, which changes the model. Returns the loss."""
    if isinstance(model, keras_crate.CRATEMAE):
        model.compile(keras.optimizers.AdamW(1e-4))  # it has its own loss
    else:
        compile_to_train(model)
    model.optimizer.build(model.trainable_variables)
    backend = keras.backend.backend()
    if backend == "torch":
        return lambda: model.train_step((images, labels))
    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(model.train_step, reduce_retracing=True)
        return lambda: run((images, labels))
    import jax

    run = jax.jit(model.train_step, donate_argnums=0)
    groups = (*_weights(model), model.optimizer.variables, model.metrics_variables)
    state = [[variable.value for variable in group] for group in groups]

    def step():
        nonlocal state
        logs, state = run(state, (images, labels))
        return logs

    return step


def _weights(model: keras.Model) -> tuple[list, list]:
    return model.trainable_variables, model.non_trainable_variables


def images_per_second(step: Callable, batch: int, seconds: float) -> float:
    """Counts steps for about some seconds, after two steps that are not counted.

    Args:
        step: Starts one step and returns tensors to wait for.
        batch: Images of a step.
        seconds: How long steps are counted. At least one is.
    """
    _seconds(step, 1)  # compiles
    steps = max(1, math.ceil(seconds / _seconds(step, 1)))
    return batch * steps / _seconds(step, steps)


def _seconds(step: Callable, steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        result = step()
    wait(result)
    return time.perf_counter() - start


def measure(name: str, tasks, batch: int, policy: str, seconds: float) -> dict:
    """The entry of one model."""
    found = machine()
    entry = {
        "model": name,
        "backend": found["backend"],
        "dtype": policy,
        "batch": batch,
        "device": found["accelerator"] or f"{found['processor']}, {found['cores']} cores",
        "versions": found["versions"],
        "date": found["date"],
    }
    for task in tasks:
        rate, used = measure_task(name, task, batch, policy, seconds)
        entry[f"images_per_second_{task}"] = round(rate, 2)
        if used != batch:
            entry[f"batch_{task}"] = used
    return entry


def measure_task(name: str, task: str, batch: int, policy: str, seconds: float):
    """Images per second of one task, and the batch that fits into the memory."""
    while True:
        _free()
        try:
            rate = images_per_second(make_step(name, task, batch, policy), batch, seconds)
        except Exception as error:
            if batch == 1 or not _out_of_memory(error):
                raise
        else:
            break
        batch //= 2
        print(f"{name}, {task}: out of memory, now with batch {batch}", flush=True)
    print(f"{name}, {task}, batch {batch}: {rate:.1f} images/s", flush=True)
    return rate, batch


def _out_of_memory(error: Exception) -> bool:
    return "out of memory" in str(error).lower() or "RESOURCE_EXHAUSTED" in str(error)


def _free() -> None:
    keras.backend.clear_session()
    gc.collect()
    if keras.backend.backend() == "torch":
        import torch

        torch.cuda.empty_cache()


def add(entry: dict, file: Path) -> None:
    """Writes an entry into a list in a JSON file, in place of one for the same measurement."""
    same = ("model", "backend", "dtype", "device")
    entries = json.loads(file.read_text("utf8")) if file.is_file() else []
    others = [old for old in entries if any(old[key] != entry[key] for key in same)]
    write_json(file, [*others, entry])


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=DEFAULT, metavar="MODEL",
                        help=f"of {', '.join(NAMES)} ({' '.join(DEFAULT)})")  # fmt: skip
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK",
                        help="inference, training (both)")  # fmt: skip
    parser.add_argument("--batch", type=int, default=256, help="images of a step (%(default)s)")
    parser.add_argument("--dtype", default="mixed_bfloat16", help="dtype policy (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0,
                        help="how long steps are counted (%(default)s)")  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("throughput.json"), metavar="FILE",
                        help="JSON file to write to, or to add to (%(default)s)")  # fmt: skip
    arguments = parser.parse_args(words)
    check_positive("batch", arguments.batch)
    check_above_zero("seconds", arguments.seconds)
    keras.dtype_policies.get(arguments.dtype)  # refuses an unknown policy
    for name in arguments.models:
        check_choice("models", name, NAMES)
        if name.startswith(EAGER) and keras.backend.backend() != "torch":
            raise ValueError(f"{name} needs PyTorch. Set KERAS_BACKEND=torch.")
    failed = []
    for name in arguments.models:
        try:
            entry = measure(
                name, arguments.tasks, arguments.batch, arguments.dtype, arguments.seconds
            )
            add(entry, arguments.output)
        except Exception:  # the other models are still measured
            traceback.print_exc()
            failed.append(name)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
