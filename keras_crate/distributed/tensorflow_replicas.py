"""TensorFlow: replicas with `MirroredStrategy`, in one process or several."""

import contextlib
import functools
import os
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_crate.distributed.devices import Devices, check_no_loss_scale
from keras_crate.keras_internals import (
    changed_gradients,
    changed_moments,
    trained_by_workers,
    without_second_sum,
)
from keras_crate.reading import parse_json


def _workers() -> int:
    """The number of processes in TF_CONFIG."""
    settings = parse_json(os.environ.get("TF_CONFIG") or "{}", "TF_CONFIG", dict)
    return len(settings.get("cluster", {}).get("worker", [0]))


def check_alone() -> None:
    """Refuses several processes without `distribute`, each of which would train alone."""
    if _workers() > 1:
        raise ValueError(
            "`distribute` must be given if TF_CONFIG names several workers. Received: None, with "
            f"{_workers()} workers.\n"
            'Pass distribute="data" (`--distribute data` on the command line).'
        )


def open_devices(parts: int) -> Devices:
    """Makes the strategy for all GPUs, or for all logical CPUs if there is no GPU."""
    if _workers() > 1:
        return Workers(_strategy())
    return Replicas(_strategy())


@functools.cache  # a second strategy in a process would mix its sums with those of the first
def _strategy():
    if _workers() > 1:
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            raise ValueError(
                "TensorFlow must join its processes before it computes: pass the names or the "
                "files of the model and the data, not a model or a tf.data.Dataset."
            ) from error
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(names)


class Replicas(Devices):
    """The replicas of a `tf.distribute.MirroredStrategy`."""

    trains_copies = True  # a strategy trains variables that were made in its scope

    def __init__(self, strategy):
        self.strategy = strategy
        self.replicas = strategy.num_replicas_in_sync

    def scope(self):
        return self.strategy.scope()

    def check(self, model, images, pipeline, accumulate):
        super().check(model, images, pipeline, accumulate)
        check_no_loss_scale(model)
        if accumulate > 1:  # Keras would add up the replicas' gradients in a branch
            raise ValueError(
                "`accumulate` must be 1 on several devices under TensorFlow. Received: "
                f"accumulate={accumulate}. Use more devices, or JAX or PyTorch."
            )

    @contextlib.contextmanager
    def prepared(self, model):
        optimizer = model.optimizer
        with (
            changed_gradients(optimizer, _sum),
            without_second_sum(optimizer),
            changed_moments(model, lambda x, axes: keras.ops.moments(x, axes, synchronized=True)),
        ):
            yield

    def seed(self, state, value):
        def assign():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            state.value.assign([value + 7919 * number, 0])

        self.strategy.run(assign)


class Workers(Replicas):
    """The replicas of a `tf.distribute.MultiWorkerMirroredStrategy`, in several processes."""

    def __init__(self, strategy):
        super().__init__(strategy)
        resolver = strategy.cluster_resolver
        self.process, self.processes = resolver.task_id, _workers()
        self.shard = (self.process, self.processes)

    def check(self, model, images, pipeline, accumulate):
        super().check(model, images, pipeline, accumulate)
        if pipeline != "tf.data":
            raise ValueError(
                "`pipeline` must be tf.data for several processes of TensorFlow. Received: "
                f"{pipeline}. Name the data, or pass arrays."
            )

    def steps(self, batches):
        return len(batches)  # `for_fit` repeats them without end

    def for_fit(self, batches):
        if batches is None:
            return None
        if isinstance(batches, keras.utils.PyDataset):
            batches = _dataset(batches)
        here = self.replicas // self.processes

        def of_replicas(*parts):  # each replica of this process takes a batch of its own
            divided = (tf.reshape(part, (here, -1, *part.shape[1:])) for part in parts)
            return tf.data.Dataset.from_tensor_slices(tuple(divided))

        # Without end: Keras would count the end of the batches as one more step.
        batches = batches.flat_map(of_replicas).repeat()
        return self.strategy.distribute_datasets_from_function(lambda context: batches)

    @contextlib.contextmanager
    def prepared(self, model):
        with super().prepared(model), trained_by_workers(model, self.strategy):
            yield

    def save(self, model, write, file):
        if self.is_writer:
            write(file)
            return
        with tempfile.TemporaryDirectory() as folder:  # saving makes variables, in all workers
            write(Path(folder) / file.name)

    def wait(self):
        self.strategy.reduce("sum", self.strategy.run(lambda: tf.constant(1.0)), axis=None)


def _sum(gradients: list) -> list:
    """Adds up the gradients of the replicas."""
    return tf.distribute.get_replica_context().all_reduce("sum", gradients)


def _dataset(batches: keras.utils.PyDataset):
    """A `tf.data.Dataset` of a PyDataset's batches."""

    def read():
        yield from (batches[k] for k in range(len(batches)))

    signature = tuple(tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0])
    return tf.data.Dataset.from_generator(read, output_signature=signature)
