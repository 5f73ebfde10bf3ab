"""Programs under JAX on several devices: a process of its own, with a processor that is divided."""

import os
import subprocess
import sys

import keras
import pytest
from write_pages import ROOT

CAN_DISTRIBUTE = hasattr(keras.distribution.DataParallel, "data_shard_id")
needs_distribution = pytest.mark.skipif(
    keras.backend.backend() != "jax" or not CAN_DISTRIBUTE, reason="for JAX and newer Keras"
)


def run_on_devices(count: int, program: str, *words: str) -> str:
    """Runs a program, which may import from benchmarks/; returns what it prints.

    Args:
        count: Number of devices.
        program: Python code.
        *words: Its `sys.argv[1:]`.
    """
    import jax

    flags = f"--xla_force_host_platform_device_count={count} --xla_backend_optimization_level=0"
    if jax.__version_info__ >= (0, 10):
        flags += " --xla_cpu_use_fusion_emitters=false"  # compiles in a third of the time
    path = os.pathsep.join([str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": path}
    command = [sys.executable, "-c", program, *words]
    run = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout
