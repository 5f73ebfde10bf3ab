"""The devices of a run: one, or several with the engine of the backend."""

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np

_ENGINES = {
    "jax": "keras_crate.distributed.jax_devices",
    "tensorflow": "keras_crate.distributed.tensorflow_replicas",
    "torch": "keras_crate.distributed.torch_processes",
}


class Devices:
    """One device. Each engine has a subclass for several devices.

    Attributes:
        process, processes: Number of this process, from 0, and number of processes.
        replicas: Number of copies of the model, each of which computes an equal part of a batch.
        shard: The part of each batch that this process reads: its number, and number of parts.
        trains_copies: Whether a model that was made outside the scope must be copied into it.
    """

    process, processes = 0, 1
    replicas = 1
    shard = (0, 1)
    trains_copies = False

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the files. Only process 0 does."""
        return self.process == 0

    def scope(self):
        """Context in which models are made, compiled and trained."""
        return contextlib.nullcontext()

    def check(self, model: keras.Model, images: int, pipeline: str, accumulate: int) -> None:
        """Refuses what these devices cannot train. `images` is their number in a step."""
        if images % self.replicas:
            raise ValueError(
                f"Each step must have an equal number of images for each of {self.replicas} "
                f"replicas. Received: {images} images.\n"
                "Choose a `batch_size` so that `batch_size / accumulate` is a multiple of "
                f"{self.replicas}."
            )

    def prepared(self, model: keras.Model):
        """Context in which a compiled model is trained."""
        return contextlib.nullcontext()

    def for_fit(self, batches):
        """Returns the batches of this process in the form in which `fit` takes them."""
        return batches

    def steps(self, batches) -> int | None:
        """The count of steps that `fit` and `evaluate` must be told for validation batches."""
        return None

    def seed_global(self, value: int) -> None:
        """Sets the global random generators. Those of dropout differ between replicas."""
        keras.utils.set_random_seed(value)

    def seed(self, state, value: int) -> None:
        """Sets the state of a `keras.random.SeedGenerator`, to another value on each replica."""
        state.assign(np.array([value, 0]))

    def save(self, model: keras.Model, write: Callable[[Path], None], file: Path) -> None:
        """Writes a file of a model. All processes call it, and process 0 writes."""
        if self.is_writer:
            write(file)

    def wait(self) -> None:
        """Waits until all processes have called it."""


def check_no_loss_scale(model: keras.Model) -> None:
    """Refuses mixed_float16: each replica would choose its own scale of the loss."""
    if model.dtype_policy.name == "mixed_float16":
        raise ValueError(
            "`precision` must not be mixed_float16 on several devices of this backend. Use "
            "mixed_bfloat16, or the JAX backend."
        )


def check_distribute(distribute: str | None) -> None:
    """Refuses an unknown `distribute`."""
    known = distribute in (None, "auto", "data")
    if not known and not re.fullmatch(r"model:([2-9]|[1-9]\d+)", str(distribute)):
        raise ValueError(
            '`distribute` must be None, "auto", "data" or "model:N" with N of 2 or more devices. '
            f"Received: distribute={distribute!r}"
        )


@contextlib.contextmanager
def distributed(distribute: str | None) -> Iterator[Devices]:
    """Opens the devices of a run. Models are made and trained in its `with` statement."""
    engine = importlib.import_module(_ENGINES[keras.backend.backend()])
    check_distribute(distribute)
    if distribute is None:
        engine.check_alone()
        yield Devices()
        return
    parts = int(distribute.partition(":")[2] or 1)
    if parts > 1 and keras.backend.backend() != "jax":
        raise ValueError(
            f"`distribute` model:N needs the JAX backend. Received: {distribute} under "
            f"{keras.backend.backend()}. Choose data, or set KERAS_BACKEND=jax."
        )
    devices = engine.open_devices(parts)
    if distribute == "auto" and devices.replicas == devices.processes == 1:
        devices = Devices()
    with devices.scope():
        yield devices
