"""Times that can be compared on a machine that others use too."""

import contextlib
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def interleaved(calls: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, in turns.

    Every round makes each call once, beginning with another one each time, so
    that what else the machine does meets all alike. Make each call once before,
    so that nothing is compiled here.

    Args:
        calls: What to time, by name. A call returns when its result is there.
        rounds: How often.

    Returns:
        A list of `rounds` seconds for each name.
    """
    names = list(calls)
    seconds = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """Median over rounds of one call's seconds by another's of the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))


def matrix_product(rows: int, width: int, dtype: str) -> Callable:
    """A call that multiplies `(rows, width)` by `(width, width)` on the backend, compiled."""
    import keras

    rng = np.random.default_rng(0)
    a = keras.ops.cast(rng.standard_normal((rows, width), "float32"), dtype)
    b = keras.ops.cast(rng.standard_normal((width, width), "float32"), dtype)
    call = compiled(keras.ops.matmul, a, b)
    call()
    return call


def compiled(function: Callable, *tensors) -> Callable:
    """A call of a function of tensors as the backend compiles it, that waits for its result."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        run = jax.jit(function)
        return lambda: jax.block_until_ready(run(*tensors))
    if backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(function)

        def call():
            outputs = run(*tensors)
            tf.test.experimental.sync_devices()  # without a copy to the host
            return outputs

        return call
    import torch

    def call():
        with torch.inference_mode():
            outputs = function(*tensors)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            return outputs

    return call


def peak_raised_by(call: Callable) -> float:
    """MiB by which a call raises this process's peak resident memory."""
    reset_peak()
    before = peak_memory()
    call()
    return peak_memory() - before


def peak_memory() -> float:
    """This process's peak resident memory so far, in MiB."""
    import resource

    unit = 1024 if platform.system() == "Darwin" else 1  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit / 1024


def reset_peak() -> None:
    """Sets the peak back to what is resident now, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
