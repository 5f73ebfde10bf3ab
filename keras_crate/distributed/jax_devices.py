"""JAX: the devices of all processes, with `keras.distribution`."""

import os

import jax
import keras
from jax.experimental import multihost_utils

from keras_crate.distributed.devices import Devices
from keras_crate.distributed.layout import check_divided, check_layout, layout_map


def _is_launched() -> bool:
    """Whether variables for `keras.distribution.initialize` are set."""
    return any(name.startswith("KERAS_DISTRIBUTION_") for name in os.environ)


def check_alone() -> None:
    """Refuses several processes without `distribute`, each of which would train alone."""
    if _is_launched() or jax.distributed.is_initialized():
        raise ValueError(
            "`distribute` must be given if JAX has several processes. Received: None, with the "
            "variables KERAS_DISTRIBUTION_...\n"
            'Pass distribute="data" (`--distribute data` on the command line).'
        )


def open_devices(parts: int) -> Devices:
    """Connects the processes that the environment names, and takes all their devices."""
    if not hasattr(keras.distribution.DataParallel, "data_shard_id"):
        raise ValueError(
            "`distribute` needs Keras 3.15 or newer under JAX. Received: Keras "
            f"{keras.__version__}. Upgrade Keras."
        )
    if _is_launched() and not jax.distributed.is_initialized():
        try:
            keras.distribution.initialize()
        except RuntimeError as error:
            raise ValueError(
                f"JAX could not connect its processes: {str(error).splitlines()[0]}\n"
                "Pass the model's name or file, or call `keras.distribution.initialize()` before "
                "the model is made."
            ) from error
    count = jax.device_count()
    if count % parts:
        raise ValueError(
            f"The N of `distribute` model:N must divide the {count} devices. Received: "
            f"model:{parts}"
        )
    return JaxDevices(parts)


class _DividedModel(keras.distribution.ModelParallel):
    """Names a weight that cannot be divided into equal parts, before it is made."""

    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        check_divided(variable, layout)
        return layout


class JaxDevices(Devices):
    """All devices of all processes. A step is one program for the whole batch.

    `parts` devices divide the weights: the N of `model:N`, or 1.
    """

    trains_copies = True  # variables are divided when they are made

    def __init__(self, parts: int):
        devices = keras.distribution.list_devices()
        if parts == 1:
            self.distribution = keras.distribution.DataParallel(
                devices=devices, auto_shard_dataset=False
            )
        else:
            shape = (len(devices) // parts, parts)
            mesh = keras.distribution.DeviceMesh(shape, ["batch", "model"], devices)
            self.distribution = _DividedModel(
                layout_map=layout_map(mesh), batch_dim_name="batch", auto_shard_dataset=False
            )
        self.process, self.processes = jax.process_index(), jax.process_count()
        self.replicas = len(devices) // parts
        # A group of devices that divide the weights may belong to several processes.
        self.shard = (self.distribution.data_shard_id, min(self.replicas, self.processes))

    def check(self, model, images, pipeline, accumulate):
        super().check(model, images, pipeline, accumulate)
        if isinstance(self.distribution, _DividedModel):
            check_layout(model, self.distribution.device_mesh)

    def scope(self):
        return self.distribution.scope()

    def save(self, model, write, file):
        if self.processes == 1:
            write(file)
            return
        optimizer = model.optimizer.variables if model.optimizer else ()
        variables = [*model.variables, *optimizer]
        before = [variable.value for variable in variables]
        for variable in variables:  # all processes take part, one variable after the other
            variable._value = multihost_utils.process_allgather(variable.value, tiled=True)
        # One process alone cannot put an array on the devices of all processes.
        keras.distribution.set_distribution(None)
        try:
            super().save(model, write, file)
        finally:
            keras.distribution.set_distribution(self.distribution)
            for variable, value in zip(variables, before, strict=True):
                variable._value = value

    def wait(self):
        if self.processes > 1:
            multihost_utils.sync_global_devices("wait")
