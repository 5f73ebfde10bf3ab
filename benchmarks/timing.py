"""Times that can be compared on a machine that runs other work too."""

import statistics
import time
from collections.abc import Callable

import keras
import numpy as np


def interleaved(
    calls: dict[str, Callable], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each call, in turns.

    Every round makes each call once and starts with a different one, so that other work on
    the machine slows all of them alike. Make each call once before, so that nothing is
    compiled here.

    Args:
        calls: What to time, by name. A call must wait for its result.
        rounds: How often each call is made.
        clock: Returns the time in seconds.

    Returns:
        A list of `rounds` seconds for each name.
    """
    names = list(calls)
    seconds = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            start = clock()
            calls[name]()
            seconds[name].append(clock() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """Median over rounds of one call's seconds divided by another's in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))


def matrix_product(rows: int, width: int, dtype: str) -> Callable:
    """A compiled call that multiplies `(rows, width)` by `(width, width)` on the backend."""
    rng = np.random.default_rng(0)
    a = keras.ops.cast(rng.standard_normal((rows, width), "float32"), dtype)
    b = keras.ops.cast(rng.standard_normal((width, width), "float32"), dtype)
    call = compiled(keras.ops.matmul, a, b)
    call()
    return call


def compiled(function: Callable, *tensors, xla: bool = False) -> Callable:
    """Compiles a function for tensors; PyTorch runs it as it is, without gradients.

    Args:
        function: A function of tensors.
        *tensors: What it is called with.
        xla: Whether TensorFlow compiles by XLA.

    Returns:
        A function without arguments. It calls `function` and waits for the result.
    """
    start = started(function, *tensors, xla=xla)
    return lambda: wait(start())


def started(function: Callable, *tensors, xla: bool = False) -> Callable:
    """As `compiled`, but the returned function does not wait for the result."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        run = jax.jit(function).lower(*tensors).compile()
    elif backend == "tensorflow":
        import tensorflow as tf

        run = tf.function(function, jit_compile=xla).get_concrete_function(*tensors)
    else:
        import torch

        run = torch.inference_mode()(function)
    return lambda: run(*tensors)


def wait(outputs):
    """Waits until the backend has computed tensors, without a copy to the host; returns them."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jax.block_until_ready(outputs)
    elif backend == "tensorflow":
        import tensorflow as tf

        tf.test.experimental.sync_devices()
    else:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    return outputs


def gradients(loss: Callable) -> Callable:
    """A function of tensors that returns the gradients of a loss with respect to each."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return lambda *tensors: jax.grad(loss, argnums=tuple(range(len(tensors))))(*tensors)
    if backend == "tensorflow":
        import tensorflow as tf

        def function(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = loss(*tensors)
            return tape.gradient(value, tensors)

        return function
    import torch

    def function(*tensors):
        with torch.inference_mode(False), torch.enable_grad():
            tensors = [x.clone().requires_grad_() for x in tensors]
            return torch.autograd.grad(loss(*tensors), tensors)

    return function
