"""What a run trains on: one device, or several by the engine of the backend."""

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
    """One device. Subclasses are several, by an engine.

    Attributes:
        process, processes: Number of this process, from 0, and the count.
        replicas: Copies of the model that share a batch. It divides the batch.
        shard: The part of each batch that this process reads: its number and the count of parts.
        trains_copies: Whether a model that was made outside the scope must be copied into it.
    """

    process, processes = 0, 1
    replicas = 1
    shard = (0, 1)
    trains_copies = False

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the files: one does."""
        return self.process == 0

    def scope(self):
        """Context in which models are made, compiled and trained."""
        return contextlib.nullcontext()

    def check(self, model: keras.Model, images: int, pipeline: str, accumulate: int) -> None:
        """Refuses what these devices cannot train.

        Args:
            model: The model.
            images: Images of a step, over all replicas.
            pipeline: What makes the batches.
            accumulate: Steps of an update.

        Raises:
            ValueError: If the replicas do not divide a step's images, for example.
        """
        if images % self.replicas:
            raise ValueError(
                f"{self.replicas} devices share the images of a step, and must divide them. "
                f"Received: {images} images.\n"
                f"Choose a `batch_size` so that `batch_size / accumulate` is a multiple of "
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
        """Sets the global random generators. Those of dropout differ between replicas.

        Args:
            value: The seed on one device.
        """
        keras.utils.set_random_seed(value)

    def seed(self, state, value: int) -> None:
        """Sets the state of a random generator, which differs between replicas.

        Args:
            state: The variable of a `keras.random.SeedGenerator`.
            value: The seed on one device.
        """
        state.assign(np.array([value, 0]))

    def save(self, model: keras.Model, write: Callable[[Path], None], file: Path) -> None:
        """Writes a file of a model in the writer. All processes call it.

        Args:
            model: The model.
            write: Writes the model to a path.
            file: The path.
        """
        if self.is_writer:
            write(file)

    def wait(self) -> None:
        """Waits until all processes are here."""


def check_no_loss_scale(model: keras.Model) -> None:
    """Refuses mixed_float16, for which Keras scales the loss by the gradients of each replica."""
    if model.dtype_policy.name == "mixed_float16":
        raise ValueError(
            "`precision` must not be mixed_float16 on several devices of this backend. Use "
            "mixed_bfloat16, or the JAX backend."
        )


def check_distribute(distribute: str | None) -> None:
    """Refuses an unknown `distribute`.

    Raises:
        ValueError: If it is not None, `"auto"`, `"data"` or `"model:N"` with N of 2 or more.
    """
    known = distribute in (None, "auto", "data")
    if not known and not re.fullmatch(r"model:([2-9]|[1-9]\d+)", str(distribute)):
        raise ValueError(
            '`distribute` must be None, "auto", "data" or "model:N" with N of 2 or more devices. '
            f"Received: distribute={distribute!r}"
        )


@contextlib.contextmanager
def distributed(distribute: str | None) -> Iterator[Devices]:
    """Opens the devices of a run. Models are made and trained in its `with` statement.

    Args:
        distribute: None for one device. `"data"` divides each batch among all
            devices. `"auto"` does so if there are several. `"model:N"` divides the
            weights among N devices, and each batch among groups of N.

    Raises:
        ValueError: If the backend or the devices cannot do it.
    """
    engine = importlib.import_module(_ENGINES[keras.backend.backend()])
    check_distribute(distribute)
    if distribute is None:
        engine.check_alone()
        yield Devices()
        return
    parts = int(distribute.partition(":")[2] or 1)
    if parts > 1 and keras.backend.backend() != "jax":
        raise ValueError(
            f"`distribute` model:N needs the JAX backend. Received: {distribute} on "
            f"{keras.backend.backend()}. Use data, or set KERAS_BACKEND=jax."
        )
    devices = engine.open_devices(parts)
    if distribute == "auto" and devices.replicas == devices.processes == 1:
        devices = Devices()
    with devices.scope():
        yield devices
