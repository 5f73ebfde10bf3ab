"""Held-out images of any source, as a classifier takes them."""

import keras

from keras_crate.data import HeldOutBatches, held_out_dataset
from keras_crate.data.image_sources import ImageSource, TFDSSource
from keras_crate.hub.evaluation import Evaluation

_BATCH = (64, 256)  # least and most images at a time, whatever the batch of training


def held_out_batches(
    source: ImageSource, classes: int, model: keras.Model, evaluation: Evaluation, batch_size: int
):
    """Held-out images as a model takes them, batch by batch, with one-hot labels.

    Args:
        source: The images.
        classes: Number of classes.
        model: The model.
        evaluation: How they are prepared.
        batch_size: Images at a time, from 64 to 256.

    Returns:
        A `keras.utils.PyDataset`, or a `tf.data.Dataset` of TensorFlow's data sets.
    """
    used = evaluation.used_for(model)
    make = held_out_dataset if isinstance(source, TFDSSource) else HeldOutBatches
    shape = (*used.size, model.input_shape[-1])
    return make(
        source,
        classes,
        shape,
        min(max(batch_size, _BATCH[0]), _BATCH[1]),
        used.resize,
        used.interpolation,
    )
