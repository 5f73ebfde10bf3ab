"""Memory and communication of a training step under JAX, read from XLA's compiled program.

The process needs virtual devices: XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import math
import re
from collections import Counter
from typing import NamedTuple

import jax
import keras

BYTES = {"f32": 4, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "s8": 1, "u8": 1, "pred": 1}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class CompiledStep(NamedTuple):
    """Bytes on one device.

    Attributes:
        sent: Size of the results of collective operations, by kind.
        arguments: Weights, optimizer, metrics and the batch.
        temporary: Peak of all other memory.
    """

    sent: Counter
    arguments: int
    temporary: int


def compiled_step(model: keras.Model, batch: int, distribution=None) -> CompiledStep:
    """Compiles a step of a compiled model, without running it.

    Args:
        model: Classifier, made and compiled under the distribution.
        batch: Images per step, on all devices.
        distribution: A distribution of `keras.distribution`.
    """
    model.optimizer.build(model.trainable_variables)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = [[variable.value for variable in group] for group in groups]
    outputs = None
    if distribution is not None:
        outputs = (None, tuple([value.sharding for value in group] for group in state))

    def part(*shape, dtype):
        sharding = distribution and distribution.get_data_layout(shape).backend_layout
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    images = part(batch, *model.input_shape[1:], dtype="float32")
    run = jax.jit(model.train_step, donate_argnums=0, out_shardings=outputs)
    compiled = run.lower(state, (images, part(batch, dtype="int32"))).compile()
    memory = compiled.memory_analysis()
    return CompiledStep(
        collectives(compiled.as_text()),
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
    )


def collectives(program: str) -> Counter:
    """Bytes of the results of collective operations in the text of a program."""
    found: Counter = Counter()
    for line in program.splitlines():
        match = re.match(rf"\s*(?:ROOT )?\S+ = (.*?) ({'|'.join(KINDS)})(?:-start)?\(", line)
        if match:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            sizes = (math.prod(map(int, filter(None, shape.split(",")))) for _, shape in shapes)
            found[match[2]] += sum(
                BYTES[dtype] * size for (dtype, _), size in zip(shapes, sizes, strict=True)
            )
    return found


def kept_numbers(model: keras.Model, batch: int) -> int:
    """Returns how many numbers JAX keeps for the gradient, before XLA optimises the program.

    Args:
        model: A model of images.
        batch: Images per step.
    """
    weights = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]
    images = jax.ShapeDtypeStruct((batch, *model.input_shape[1:]), "float32")

    def gradient(weights, images):
        def output(weights):
            outputs, _ = model.stateless_call(weights, others, images, training=True)
            return keras.ops.sum(outputs)

        return jax.vjp(output, weights)[1]  # a tree of what it keeps

    kept = jax.tree.leaves(jax.eval_shape(gradient, weights, images))
    return sum(math.prod(array.shape) for array in kept)
