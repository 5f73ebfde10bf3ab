"""TensorFlow: replicas of a model by `MirroredStrategy`, in one process or several."""

import contextlib
import json
import os

import keras
import tensorflow as tf

from keras_crate.distributed.devices import Devices, check_no_loss_scale
from keras_crate.keras_internals import (
    built_for_workers,
    changed_gradients,
    changed_moments,
    without_second_sum,
)


def _workers() -> int:
    """The count of processes in TF_CONFIG."""
    return len(json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {}).get("worker", [0]))


def check_alone() -> None:
    """Refuses to train in each of several processes by itself."""
    if _workers() > 1:
        raise ValueError(
            "`distribute` must be given if TF_CONFIG names several workers. Received: none, with "
            f"{_workers()} workers. Pass data (`--distribute data`)."
        )


def open_devices(parts: int) -> Devices:
    """Makes the strategy of all GPUs, or of all logical CPUs without a GPU."""
    if _workers() > 1:
        return Workers(tf.distribute.MultiWorkerMirroredStrategy())
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    return Replicas(tf.distribute.MirroredStrategy(names))


class Replicas(Devices):
    """The replicas of a `tf.distribute.MirroredStrategy`."""

    trains_copies = True  # a strategy trains variables that were made in its scope

    def __init__(self, strategy):
        self.strategy = strategy
        self.replicas = strategy.num_replicas_in_sync

    def scope(self):
        return self.strategy.scope()

    def check(self, batch_size, precision):
        super().check(batch_size, precision)
        check_no_loss_scale(precision)

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
    """The replicas of a `tf.distribute.MultiWorkerMirroredStrategy`, of this process and others."""

    def __init__(self, strategy):
        super().__init__(strategy)
        resolver = strategy.cluster_resolver
        self.process, self.processes = resolver.task_id, _workers()
        self.shard = (self.process, self.processes)

    def for_fit(self, batches):
        if batches is None:
            return None
        if isinstance(batches, keras.utils.PyDataset):
            batches = _dataset(batches)
        here = self.replicas // self.processes

        def of_replicas(*parts):  # each replica of this process takes a batch of its own
            divided = (tf.reshape(part, (here, -1, *part.shape[1:])) for part in parts)
            return tf.data.Dataset.from_tensor_slices(tuple(divided))

        batches = batches.flat_map(of_replicas)
        return self.strategy.distribute_datasets_from_function(lambda context: batches)

    @contextlib.contextmanager
    def prepared(self, model):
        with super().prepared(model), built_for_workers(model, self.strategy):
            yield

    def wait(self):
        self.strategy.reduce("sum", self.strategy.run(lambda: tf.constant(1.0)), axis=None)


def _sum(gradients: list) -> list:
    """Adds up the gradients of the replicas."""
    return tf.distribute.get_replica_context().all_reduce("sum", gradients)


def _dataset(batches: keras.utils.PyDataset):
    """A `tf.data.Dataset` of a PyDataset's batches, again and again."""

    def of_epoch():
        yield from (batches[k] for k in range(len(batches)))

    signature = tuple(
        tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in batches[0]
    )
    return tf.data.Dataset.from_generator(of_epoch, output_signature=signature)
