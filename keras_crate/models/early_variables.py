"""Makes the variables of a training or an evaluation before its first step, under TensorFlow.

TensorFlow traces a step again if variables were made while it was traced. Keras makes those of the
optimizer and of the metrics there. Without this, the first `fit` of a small model takes almost
twice as long.
"""

import contextlib

import keras
import numpy as np

from keras_crate.keras_internals import has_metrics_without_variables


def make_variables_early(model: keras.Model, x, y=None, sample_weight=None) -> None:
    """Makes the variables of a compiled model's optimizer and metrics, if they are missing.

    Does nothing under other backends and with several replicas, for which Keras does it.

    Args:
        model: Any model. Without `compile`, nothing is done: `fit` refuses it.
        x, y, sample_weight: As in `keras.Model.fit`. Metrics need one batch: nothing is done for
            generators and other data that can be read once only.
    """
    if keras.backend.backend() != "tensorflow" or not model.compiled:
        return
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    if not has_metrics_without_variables(model):
        return
    # If a label has a wrong shape, `fit` says so.
    with contextlib.suppress(Exception):
        images, labels, weights = _first_batch(x, y, sample_weight)
        outputs = keras.ops.zeros((len(images), *model.output_shape[1:]))
        model.compute_metrics(images, labels, outputs, sample_weight=weights)
    model.reset_metrics()


def _first_batch(x, y, sample_weight) -> tuple:
    """One image, label and weight, or a batch of them."""
    if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
        return tuple(None if part is None else part[:1] for part in (x, y, sample_weight))
    if isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    else:  # of tf.data
        batch = keras.tree.map_structure(_zeros, x.element_spec)
    return *batch, *[None] * (3 - len(batch))


def _zeros(spec):
    return np.zeros([size or 1 for size in spec.shape], spec.dtype.as_numpy_dtype)
