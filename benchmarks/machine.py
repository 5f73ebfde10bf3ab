"""The machine that results are measured on."""

import contextlib
import importlib.metadata
import os
import platform
import time

import keras

ENVIRONMENT = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS")
PACKAGES = ("keras", "keras-hub", "torch", "jax", "tensorflow", "tensorflow-cpu")


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
        details = [tf.config.experimental.get_device_details(device) for device in devices]
        return details[0]["device_name"] if details else None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def machine() -> dict:
    """Backend, versions, processor, accelerator and date."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return {
        "backend": keras.backend.backend(),
        "versions": _versions(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
        "accelerator": accelerator(),
        "environment": {k: v for k, v in os.environ.items() if k in ENVIRONMENT},
        "date": time.strftime("%Y-%m-%d"),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
