"""Measures the accuracy of a classifier on labelled images."""

from collections.abc import Sequence

import keras
import numpy as np
from rich.progress import Progress

from keras_crate.checks import check_positive, names_arguments
from keras_crate.evaluation.classes import number_of_classes
from keras_crate.evaluation.finite_batches import finite_batches
from keras_crate.evaluation.scores import Scores


@names_arguments
def accuracy(model: keras.Model, batches, top: Sequence[int] = (1, 5), verbose: int = 0) -> Scores:
    """Measures the accuracy of a classifier on labelled images.

    Args:
        model: A classifier that returns probabilities or logits.
        batches: Batches `(images, labels)`: a `LabelledFolder`, the result of
            `Evaluation.batches`, or a list. Images are as the model takes
            them, labels are integers or one-hot. A batch may have a third
            part: a list with the correct classes of each image by ReaL.
        top: Each k for which an image counts as correct if its class is among
            the k likeliest. A k above the number of classes is left out.
        verbose: 1 for a progress bar.

    Raises:
        ValueError: If the model is not a classifier, its outputs are NaN, a
            label is not one of its classes, or no file can be read.

    Example:

    ```python
    from keras_crate.evaluation import Evaluation, LabelledFolder, accuracy

    model = keras_crate.CRATETiny(input_shape=(32, 32, 3), classes=2, class_names=["cat", "dog"])
    pets = LabelledFolder("pets", model, Evaluation.for_model(model))
    print(accuracy(model, pets))  # top-1 50.00 % of 2 images
    ```
    """
    classes = number_of_classes(model)
    top = sorted({k for k in top if check_positive("top", k) <= classes})
    truth, likeliest, real = [], [], []
    with Progress(disable=not verbose) as progress:
        task = progress.add_task("measuring", total=len(batches))
        for images, labels, *more in finite_batches(batches):
            order = np.argsort(-outputs_of(model, images), axis=1, kind="stable")
            likeliest.append(order[:, : max(top, default=1)])
            labels = np.asarray(labels)
            truth.append(labels.argmax(axis=1) if labels.ndim == 2 else labels)
            real += more[0] if more else []
            progress.advance(task)
        progress.update(task, completed=len(batches))  # broken files may leave fewer batches
    truth = np.concatenate(truth)
    if not np.isin(truth, np.arange(classes)).all():
        raise ValueError(
            f"Labels must be classes of the model, integers from 0 to {classes - 1}. Received: "
            f"labels from {truth.min()} to {truth.max()}"
        )
    return Scores(truth.astype("int64"), np.concatenate(likeliest), classes, top, real or None)


def outputs_of(model: keras.Model, images) -> np.ndarray:
    """Returns a classifier's outputs for a batch of images, in float32."""
    outputs = np.asarray(model.predict_on_batch(np.asarray(images)), "float32")
    bad = np.isnan(outputs).any(axis=1)
    if bad.any():
        raise ValueError(
            f"The model's outputs are NaN for {bad.sum()} of {len(bad)} images of a batch. Its "
            "weights are damaged, or its dtype is too narrow: load it again, or in float32."
        )
    return outputs
