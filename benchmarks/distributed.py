"""Images per second of a training step on 1, 2, 4, ... devices of one machine, under JAX.

    KERAS_BACKEND=jax python benchmarks/distributed.py --size CRATELarge --layouts data model:8

Each device gets the same number of random images of 224 x 224 pixels, which are on the devices
before the steps begin. A step is forward, backward and AdamW: Keras' own `train_step`, compiled for
all devices. The efficiency is images per second, divided by the number of devices and by the images
per second of one device. `model:N` divides the weights of operators among N devices
(`keras_crate.training.layout_map`), and needs a multiple of N devices.

This command tries the script on a CPU with virtual devices. It writes no file:

    XLA_FLAGS=--xla_force_host_platform_device_count=8 KERAS_BACKEND=jax \\
      python benchmarks/distributed.py --size CRATETiny --batch 1
"""

import argparse
from pathlib import Path

import keras
from contenders import compile_to_train, images_and_labels
from machine import machine
from script import write_results
from throughput import images_per_second, make_model

from keras_crate.checks import check_above_zero, check_choice, check_positive
from keras_crate.distributed.layout import check_layout, layout_map
from keras_crate.weights.sizes import SIZES


def parts_of(layout: str) -> int:
    """The N of `model:N`; 1 of `data`."""
    kind, _, number = layout.partition(":")
    if layout == "data":
        return 1
    if kind != "model" or not number.isdecimal() or int(number) < 2:
        raise ValueError(f"`layouts` must be data or model:N with N > 1. Received: {layout!r}")
    return int(number)


def distribution_of(layout: str, devices: list[str]):
    """The distribution of a layout on these devices, and its mesh."""
    parts = parts_of(layout)
    mesh = keras.distribution.DeviceMesh(
        (len(devices) // parts, parts), ["batch", "model"], devices
    )
    layouts = layout_map(mesh) if parts > 1 else keras.distribution.LayoutMap(mesh)
    parallel = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
    return parallel, mesh


def make_step(size: str, layout: str, devices: list[str], batch: int, policy: str):
    """A function that starts one training step and returns tensors to wait for.

    Args:
        size: Constructor's name.
        layout: `data` or `model:N`.
        devices: Names of devices.
        batch: Images per device.
        policy: Dtype policy.
    """
    import jax

    distribution, mesh = distribution_of(layout, devices)
    if parts_of(layout) > 1:
        check_layout(make_model(size, policy), mesh)
    with distribution.scope():
        model = make_model(size, policy)
        compile_to_train(model)
        model.optimizer.build(model.trainable_variables)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in group] for group in groups)
    shardings = tuple([value.sharding for value in group] for group in state)
    run = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, shardings))
    data = tuple(
        keras.distribution.distribute_tensor(
            keras.ops.convert_to_tensor(array), distribution.get_data_layout(array.shape)
        )
        for array in images_and_labels(batch * len(devices))
    )

    def step():
        nonlocal state
        with distribution.scope():  # read while the first step is compiled
            logs, state = run(state, data)
        return logs

    return step


def measure(size: str, layouts, counts, batch: int, policy: str, seconds: float) -> list[dict]:
    """One row for each layout and number of devices; the first is one device."""
    devices = keras.distribution.list_devices()
    rows: list[dict] = []
    cases = [("data", 1)]
    cases += [(x, n) for x in layouts for n in counts if n > 1 and n % parts_of(x) == 0]
    for layout, count in cases:
        step = make_step(size, layout, devices[:count], batch, policy)
        rate = images_per_second(step, batch * count, seconds)
        first = rows[0]["images_per_second"] if rows else rate
        rows.append(
            {
                "layout": layout,
                "devices": count,
                "images_per_second": round(rate, 2),
                "efficiency": round(rate / count / first, 3),
            }
        )
        print(f"{layout}, {count} devices: {rate:.1f} images/s", flush=True)
    return rows


def table(results: dict) -> str:
    """The rows of a file of results, in Markdown."""
    lines = ["| layout | devices | images/s | efficiency |", "| --- | ---: | ---: | ---: |"]
    for row in results["rows"]:
        rate, share = row["images_per_second"], row["efficiency"]
        lines.append(f"| `{row['layout']}` | {row['devices']} | {rate:,.0f} | {share:.0%} |")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--size", default="CRATELarge", help="constructor's name (%(default)s)")
    options.add_argument("--layouts", nargs="+", default=["data"], metavar="LAYOUT",
                         help="data, model:N (data)")  # fmt: skip
    options.add_argument("--devices", nargs="+", type=int, metavar="N",
                         help="numbers of devices (1, 2, 4, ... up to all)")  # fmt: skip
    options.add_argument("--batch", type=int, default=128, help="images per device (%(default)s)")
    options.add_argument("--dtype", default="mixed_bfloat16", help="dtype policy (%(default)s)")
    options.add_argument("--seconds", type=float, default=5.0,
                         help="how long steps are counted (%(default)s)")  # fmt: skip
    options.add_argument("--output", type=Path, default=Path(__file__).parent / "results",
                         metavar="FOLDER", help="folder of results")  # fmt: skip
    arguments = options.parse_args(words)
    if keras.backend.backend() != "jax":
        raise ValueError("This script needs JAX. Set KERAS_BACKEND=jax.")
    check_choice("size", arguments.size, SIZES)
    check_positive("batch", arguments.batch)
    check_above_zero("seconds", arguments.seconds)
    for layout in arguments.layouts:
        parts_of(layout)
    there = len(keras.distribution.list_devices())
    counts = arguments.devices or [2**k for k in range(there.bit_length())]
    if max(counts) > there:
        raise ValueError(f"There are {there} devices. Received: devices={max(counts)}")
    results = {
        "machine": machine(),
        "model": arguments.size,
        "dtype": arguments.dtype,
        "batch_of_a_device": arguments.batch,
        "rows": measure(arguments.size, arguments.layouts, counts, arguments.batch,
                        arguments.dtype, arguments.seconds),
    }  # fmt: skip
    print(table(results))
    if results["machine"]["accelerator"] is None:
        print("No file is written: virtual devices of one CPU do not show how devices scale.")
    else:
        write_results(arguments.output, "distributed", results)


if __name__ == "__main__":
    main()
