"""Batches by `tf.data`: decoding and cropping in one step, in parallel, ahead of the model."""

from collections.abc import Callable

import numpy as np

from keras_crate.data.augmentation import Augmentation, BatchAugmentation
from keras_crate.data.batches import call_augment, check_batch_size, image_mode
from keras_crate.data.image_files import fit_image
from keras_crate.data.image_sources import ArraySource, FileSource, ImageSource, TFDSSource, decode
from keras_crate.data.rand_augment import rand_augment
from keras_crate.extras import needed

_CACHED = 2 * 2**30  # bytes: a stored data set up to this size is kept in memory
_SHUFFLED = 16_384  # images that wait to be drawn, of one that is larger


def training_dataset(
    source: ImageSource,
    classes: int,
    input_shape: tuple[int, int, int],
    batch_size: int,
    augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
    seed: int = 0,
    epoch: int = 0,
    augment: Callable | None = None,
):
    """A `tf.data.Dataset` of augmented batches, epoch after epoch without end.

    A JPEG is decoded only where it is cropped. Seed, epoch and image decide
    all chance but what `augment` draws, so that a training that begins at a
    later epoch sees what it would have seen; work is parallel all the same.
    Data of up to 2 GiB that TensorFlow Datasets stores are kept in memory.
    Images are not turned as a camera noted.

    Args:
        source: Images in arrays, files or a set of TensorFlow Datasets.
        classes: Number of classes.
        input_shape: Shape of an image, channels last.
        batch_size: Images a batch; what is left over at an epoch's end is left
            out of it.
        augmentation: What chance does to the images.
        seed: Seed of all chance.
        epoch: The first epoch, from 0.
        augment: As in `keras_crate.data.TrainingBatches`; called in a graph of
            TensorFlow, one batch after the other.

    Returns:
        The data set, of images in [0, 255] and one-hot labels, and the number
        of batches of an epoch.

    Raises:
        ImportError: If TensorFlow is not installed.
        ValueError: If images have another number of channels.

    Example:

    ```python
    pets = keras_crate.data.open_data("pets")
    batches, steps = keras_crate.data.training_dataset(pets.train, 2, (32, 32, 3), batch_size=2)
    model.fit(batches, epochs=10, steps_per_epoch=steps)
    ```
    """
    tf = _tensorflow()
    mode = image_mode(input_shape)
    batch_size = check_batch_size(batch_size, len(source))
    steps = len(source) // batch_size
    on_batch = BatchAugmentation(augmentation, in_tf_data=True)
    shuffled = _shuffled(source)

    def of_epoch(number):
        key = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0]), number)
        batches = (
            shuffled(key)
            .enumerate()
            .map(
                lambda k, pair: (
                    _augmented(*pair, _folded(key, k), input_shape, augmentation, mode),
                    tf.one_hot(pair[1], classes),
                ),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .batch(batch_size, drop_remainder=True)
        )
        if augment is not None:  # it draws by itself: in turn, for the same draws at each run
            batches = batches.map(lambda images, labels: (_called(augment, images), labels))
        if on_batch:
            batches = batches.enumerate().map(
                lambda k, pair: on_batch(*pair, _folded(key, -1 - k)),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        return batches.take(steps)

    return tf.data.Dataset.counter(epoch).flat_map(of_epoch).prefetch(tf.data.AUTOTUNE), steps


def evaluation_dataset(
    source: TFDSSource,
    classes: int,
    input_shape: tuple[int, int, int],
    batch_size: int = 32,
    resize=None,
    interpolation: str = "bilinear",
):
    """A `tf.data.Dataset` of a set of TensorFlow Datasets, as a model is measured on it.

    Images are prepared by Pillow as those of files are.

    Args:
        source: The images.
        classes: Number of classes.
        input_shape: Shape of an image, channels last.
        batch_size: Images a batch; the last one may be smaller.
        resize, interpolation: As in `keras_crate.data.ImageFiles`.

    Returns:
        The data set, of images in [0, 255] and one-hot labels.

    Example:

    ```python
    cifar = keras_crate.data.open_data("cifar10")
    batches = keras_crate.data.evaluation_dataset(cifar.validation, 10, (32, 32, 3), resize=36)
    model.evaluate(batches)
    ```
    """
    tf = _tensorflow()
    mode = image_mode(input_shape)

    def fitted(data):
        return fit_image(decode(data, mode), input_shape[:2], resize, interpolation)

    def prepare(data, label):
        image = tf.numpy_function(fitted, [data], tf.float32, stateful=False)
        return tf.ensure_shape(image, input_shape), tf.one_hot(label, classes)

    images = source.encoded().map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    return images.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _called(augment: Callable, images):
    import tensorflow as tf

    if not type(augment).__module__.startswith("keras_cv"):
        return call_augment(augment, images)
    # Some of KerasCV's layers ask tensors for their truth, which a graph has not.
    changed = tf.py_function(lambda x: call_augment(augment, x), [images], tf.float32)
    return tf.ensure_shape(changed, images.shape)


def _tensorflow():
    with needed("tensorflow", "A tf.data pipeline needs"):
        import tensorflow as tf
    return tf


def _folded(key, number):
    import tensorflow as tf

    return tf.random.experimental.stateless_fold_in(key, number)


def _shuffled(source: ImageSource) -> Callable:
    """A function from an epoch's key to its images, stored as they are, and classes."""
    import tensorflow as tf

    if isinstance(source, TFDSSource):
        stored = source.encoded()
        if source.builder.info.dataset_size <= _CACHED:
            stored = stored.cache()
            waiting = len(source)
        else:
            waiting = min(len(source), _SHUFFLED)

        def drawn(key):
            tf.random.set_seed(1)  # of this function alone: the epoch's key decides, no global seed
            seed = tf.cast(key[1], "int64")
            return stored.shuffle(waiting, seed, reshuffle_each_iteration=False)

        return drawn
    if isinstance(source, ArraySource):
        stored, get = tf.constant(source.images), tf.identity
    elif isinstance(source, FileSource):
        stored, get = tf.constant([str(file) for file in source.files]), tf.io.read_file
    else:
        raise ValueError(
            f"tf.data reads arrays, files and TensorFlow's data sets. Received: "
            f"{type(source).__name__}. `keras_crate.data.TrainingBatches` reads it."
        )
    labels = tf.constant(source.labels)

    def shuffled(key):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(source)), key)
        return tf.data.Dataset.from_tensor_slices(order).map(
            lambda k: (get(stored[k]), labels[k]), num_parallel_calls=tf.data.AUTOTUNE
        )

    return shuffled


def _augmented(image, label, key, input_shape, augmentation: Augmentation, mode: str):
    """One image, decoded if it is a string, cropped, turned and changed."""
    import tensorflow as tf

    height, width, channels = input_shape
    encoded = image.dtype == tf.string
    if not encoded:
        image = _with_channels(image, channels)
    if augmentation.crop_area is None:
        image = _decoded(image, channels) if encoded else image
    else:
        image = _cropped(image, _folded(key, 0), augmentation, channels, encoded)
    # Rounded to bytes, as Pillow's are.
    image = tf.image.resize(image, (height, width), augmentation.interpolation, antialias=True)
    image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), "uint8")
    if augmentation.flip:
        image = tf.image.stateless_random_flip_left_right(image, _folded(key, 1))
    if augmentation.rand_augment is not None:
        image = tf.numpy_function(
            lambda pixels, key: _rand_augment(pixels, key, mode, augmentation.rand_augment),
            [image, _folded(key, 2)],
            tf.uint8,
            stateful=False,
        )
    return tf.ensure_shape(tf.cast(image, "float32"), input_shape)


def _rand_augment(pixels, key, mode: str, strength) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    rng = np.random.default_rng(np.abs(key.astype("int64")))
    return np.asarray(rand_augment(image, rng, *strength)).reshape(pixels.shape)


def _decoded(data, channels: int):
    import tensorflow as tf

    image = tf.io.decode_image(data, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, (None, None, channels))


def _cropped(image, key, augmentation: Augmentation, channels: int, encoded: bool):
    """A random part of an image, of which nothing else is decoded where it is a JPEG."""
    import tensorflow as tf

    def part(shape):
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            shape,
            tf.zeros((0, 0, 4)),
            seed=key,
            min_object_covered=0.0,
            aspect_ratio_range=augmentation.crop_ratio,
            area_range=augmentation.crop_area,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        return begin, size

    def slice_of(image):
        begin, size = part(tf.shape(image))
        return tf.slice(image, begin, size)

    if not encoded:
        return slice_of(image)
    if channels == 4:  # a JPEG has no transparency
        return slice_of(_decoded(image, channels))

    def of_jpeg():
        begin, size = part(tf.io.extract_jpeg_shape(image))
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        return tf.io.decode_and_crop_jpeg(image, window, channels=channels)

    return tf.cond(tf.io.is_jpeg(image), of_jpeg, lambda: slice_of(_decoded(image, channels)))


def _with_channels(image, channels: int):
    """Pixels of an array in the model's number of channels."""
    import tensorflow as tf

    have = image.shape[-1]
    if have == channels:
        return image
    if have == 1 and channels == 3:
        return tf.image.grayscale_to_rgb(image)
    if have == 3 and channels == 1:
        return tf.image.rgb_to_grayscale(image)
    raise ValueError(
        f"The images must have as many channels as the model, {channels}. Received: {have}"
    )
