"""Batches made by `tf.data`, which reads and changes images in parallel with the model."""

import io
from collections.abc import Callable

from keras_crate.checks import names_arguments
from keras_crate.data.augmentation import Augmentation
from keras_crate.data.batch_augmentation import BatchAugmentation, call_augment
from keras_crate.data.image_files import check_pillow, image_mode, open_image
from keras_crate.data.image_sources import ImageSource, TFDSSource
from keras_crate.data.resizing import check_interpolation, check_resize, fit_image
from keras_crate.data.share import padded, share_of_evaluation, share_of_training
from keras_crate.extras import needed


@names_arguments
def training_dataset(
    source: ImageSource,
    classes: int,
    input_shape: tuple[int, int, int],
    batch_size: int,
    augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
    seed: int = 0,
    epoch: int = 0,
    augment: Callable | None = None,
    shard: tuple[int, int] = (0, 1),
    accumulate: int = 1,
):
    """Makes a `tf.data.Dataset` of augmented batches, epoch after epoch without end.

    Everything random follows from the seed, the epoch and the image, as in
    `keras_crate.data.TrainingBatches`, but with other random numbers.
    Only the cropped part of a JPEG is decoded. A data set that TensorFlow
    Datasets stores in up to 2 GiB is kept in memory. EXIF orientations are
    ignored.

    With several processes, each reads only its own files of a set of TensorFlow Datasets
    (`tfds.ReadConfig` with a `tf.distribute.InputContext`), or its own part of the
    images if there are fewer files than processes. The files are shuffled, and the
    images in a buffer of up to 16,384. The order differs from that of one process.
    If the files differ in size, an epoch may repeat some images and leave out others.

    Args:
        source: Images in arrays, in files or in a set of TensorFlow Datasets.
        classes, input_shape, batch_size, augmentation, seed, epoch: As in
            `keras_crate.data.TrainingBatches`.
        augment: As in `keras_crate.data.TrainingBatches`. It is called in a
            TensorFlow graph, for one batch after the other.
        shard, accumulate: As in `keras_crate.data.TrainingBatches`.

    Returns:
        The data set, of images in [0, 255] and one-hot labels, and the number
        of steps per epoch, which is the same in all processes.

    Raises:
        ImportError: If TensorFlow is not installed.
        ValueError: If an argument is out of range, or TensorFlow cannot read
            the images.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches, steps = keras_crate.data.training_dataset(pets.train, 2, (32, 32, 3), batch_size=2)
    model.fit(batches, epochs=10, steps_per_epoch=steps)
    ```
    """
    with needed("tensorflow", "A tf.data pipeline needs"):
        import tensorflow as tf
    from keras_crate.data.tf_images import augment_image, fold_in, shuffled_images

    share = share_of_training(batch_size, len(source), shard, accumulate)
    steps = len(source) // share.batch_size * accumulate
    shuffled = shuffled_images(source, image_mode(input_shape), share, steps)
    on_batch = BatchAugmentation(augmentation, in_tf_data=True)

    def of_epoch(number):
        key = fold_in(tf.constant([seed, 0]), number)

        def prepare(k, pair):
            image, label = pair
            image = augment_image(image, fold_in(key, k), input_shape, augmentation)
            return image, tf.one_hot(label, classes)

        batches = (
            shuffled(key)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(share.rows, drop_remainder=True)
        )
        if augment is not None:  # not in parallel, so that each run draws the same numbers
            batches = batches.map(lambda images, labels: (_called(augment, images), labels))
        if on_batch:
            batches = batches.enumerate().map(
                lambda k, pair: on_batch(*pair, fold_in(key, -1 - k * share.count - share.index)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        return batches.take(steps)

    return tf.data.Dataset.counter(epoch).flat_map(of_epoch).prefetch(tf.data.AUTOTUNE), steps


def _called(augment: Callable, images):
    import tensorflow as tf

    if not type(augment).__module__.startswith("keras_cv"):
        return call_augment(augment, images)
    # Some of KerasCV's layers need the values of tensors, which a graph does not have.
    changed = tf.py_function(lambda x: call_augment(augment, x), [images], tf.float32)
    return tf.ensure_shape(changed, images.shape)


def evaluation_dataset(
    source: TFDSSource,
    classes: int,
    input_shape: tuple[int, int, int],
    batch_size: int = 32,
    resize=None,
    interpolation: str = "bilinear",
    shard: tuple[int, int] = (0, 1),
    multiple_of: int = 1,
):
    """Makes a `tf.data.Dataset` of the batches of `keras_crate.data.EvaluationBatches`.

    Images are prepared by Pillow too, so the pixels are the same. With several processes,
    each gets an equal part of the images, in the stored order. Its images are not those
    that `EvaluationBatches` gives it.
    """
    with needed("tensorflow", "A tf.data pipeline needs"):
        import tensorflow as tf
    check_pillow()
    mode, size = image_mode(input_shape), tuple(input_shape[:2])
    resize, interpolation = check_resize(resize, size), check_interpolation(interpolation)

    def fitted(data):
        return fit_image(open_image(io.BytesIO(data), mode), size, resize, interpolation)

    def prepare(data, label):
        image = tf.numpy_function(fitted, [data], tf.float32, stateful=False)
        return tf.ensure_shape(image, input_shape), tf.one_hot(label, classes)

    share = share_of_evaluation(batch_size, len(source), shard, multiple_of)
    total = padded(len(source), multiple_of)
    images, real = source.padded_part(share.index, share.count, total)
    images = images.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    if multiple_of > 1:
        weights = tf.where(tf.range(total // share.count) < real, total / len(source), 0.0)
        weights = tf.data.Dataset.from_tensor_slices(weights)
        images = tf.data.Dataset.zip(images, weights).map(lambda pair, weight: (*pair, weight))
    return images.batch(share.rows).prefetch(tf.data.AUTOTUNE)
