"""Held-out images of any source, as a classifier takes them."""

import keras

from keras_crate.data import EvaluationBatches, evaluation_dataset
from keras_crate.data.image_sources import ImageSource, TFDSSource
from keras_crate.evaluation.evaluation import Evaluation

_BATCH = (64, 256)  # least and most images at a time, whatever the batch of training


def evaluation_batches(
    source: ImageSource,
    classes: int,
    model: keras.Model,
    evaluation: Evaluation,
    batch_size: int,
    workers: int = 1,
):
    """Held-out images as a model takes them, batch by batch, with one-hot labels.

    Args:
        source: The images.
        classes: Number of classes.
        model: The model.
        evaluation: How they are prepared.
        batch_size: Images at a time, from 64 to 256.
        workers: Threads that read images; TensorFlow's data sets have their own.

    Returns:
        A `keras.utils.PyDataset`, or a `tf.data.Dataset` of TensorFlow's data sets.
    """
    used = evaluation.used_for(model)
    shape = (*used.size, model.input_shape[-1])
    size = min(max(batch_size, _BATCH[0]), _BATCH[1])
    arguments = (source, classes, shape, size, used.resize, used.interpolation)
    if isinstance(source, TFDSSource):
        return evaluation_dataset(*arguments)
    return EvaluationBatches(*arguments, workers)
