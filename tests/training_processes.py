"""Starts programs as the processes of one training."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras

BACKEND = keras.backend.backend()
PROGRAM = Path(__file__).with_name("training_cases.py")


def start(words: list, processes: int = 1, devices: int = 1, **variables) -> list:
    """Starts `training_cases.py` in several processes, each with some virtual devices.

    Args:
        words: The program's arguments.
        processes, devices: Their numbers.
        **variables: Further variables of the environment.
    """
    ports = _free_ports(processes)
    return [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, words)],
            env={
                **os.environ,
                "KERAS_BACKEND": BACKEND,
                **_environment(number, processes, devices, ports),
                **{"PROCESS": str(number), "PROCESSES": str(processes), **variables},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]


def start_by_torchrun(words: list, processes: int) -> list:
    """As `start`, by PyTorch's launcher, which is one process for all."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [
        subprocess.Popen(
            [*launcher, f"--nproc-per-node={processes}", str(PROGRAM), *map(str, words)],
            env={**os.environ, "KERAS_BACKEND": BACKEND},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    ]


def outputs(started: list, seconds: int = 600) -> list[str]:
    """Waits for processes, and returns what they have printed."""
    return [process.communicate(timeout=seconds)[0] for process in started]


def _environment(number: int, processes: int, devices: int, ports: list[int]) -> dict[str, str]:
    if BACKEND == "jax":
        flags = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        )
        if processes == 1:
            return {"XLA_FLAGS": flags}
        return {
            "XLA_FLAGS": flags,
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{ports[0]}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(processes),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
    if BACKEND == "torch":  # as torchrun sets them
        return {
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(ports[0]),
        }
    if processes == 1:
        return {"DEVICES": str(devices)}
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    config = {"cluster": cluster, "task": {"type": "worker", "index": number}}
    return {"DEVICES": str(devices), "TF_CONFIG": json.dumps(config), "PIPELINE": "tf.data"}


def _free_ports(count: int) -> list[int]:
    found = [socket.socket() for _ in range(count)]
    for each in found:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports
