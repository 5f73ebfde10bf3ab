"""Inside a training step: which replica computes, and values of all replicas.

A replica is a copy of the model, which computes its rows of a batch. Under JAX, a step is one
program for the whole batch, so these functions see one replica.
"""

import keras


def replica() -> tuple:
    """Returns the number of this replica, from 0, and the number of replicas.

    Under TensorFlow the number may be a tensor.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        if context is not None:  # None while a strategy builds a model
            return context.replica_id_in_sync_group, context.num_replicas_in_sync
    elif keras.backend.backend() == "torch":
        from keras_crate.distributed import torch_processes

        return torch_processes.process()
    return 0, 1


def rows_of_replica(draw, rows):
    """Draws random rows for the whole batch, and returns those of this replica.

    The rows do not depend on the number of replicas, if all have the same random state. `draw`
    takes a number of rows.
    """
    number, count = replica()
    return draw(rows) if count == 1 else draw(rows * count)[number * rows : (number + 1) * rows]


def of_all_replicas(x):
    """Returns the rows of all replicas, in order. Gradients flow back to each replica."""
    if replica()[1] == 1:
        return x
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        rows = tf.distribute.get_replica_context().all_gather(x, axis=0)
        return tf.ensure_shape(rows, (None, *x.shape[1:]))  # a graph would not know it
    from keras_crate.distributed.torch_processes import RowsOfAll

    return RowsOfAll.apply(x)


def share_of_replica(loss):
    """Divides a loss by the number of replicas under TensorFlow, where gradients are summed.

    Keras also divides its own losses, and multiplies the loss that it reports. Under PyTorch,
    gradients are averaged.
    """
    return loss / replica()[1] if keras.backend.backend() == "tensorflow" else loss
