"""Reads and changes images in TensorFlow. Importing this module imports TensorFlow."""

import io
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_crate.data.augmentation import Augmentation
from keras_crate.data.image_files import image_mode, open_image, opened
from keras_crate.data.image_sources import ArraySource, FileSource, ImageSource, TFDSSource
from keras_crate.data.rand_augment import rand_augment
from keras_crate.data.share import Share

CACHED = 2 * 2**30  # bytes: a stored data set up to this size is kept in memory
SHUFFLED = 16_384  # size of the shuffle buffer of larger ones


def fold_in(key, number):
    """Returns a new random key for a number."""
    return tf.random.experimental.stateless_fold_in(key, number)


def shuffled_images(source: ImageSource, mode: str, share: Share, steps: int) -> Callable:
    """Returns a function from a random key to a data set of images in a random order.

    The data set has the images of one process in an epoch of `steps` steps. Its elements are
    `(place, (image, class))`. The place in the epoch is unique. An image is an array of pixels
    in Pillow's mode, or the content of an image file.
    """
    if isinstance(source, TFDSSource):
        return _shuffled_stream(source, share)
    if isinstance(source, ArraySource):
        stored, read = tf.constant(_in_mode(source, mode)), tf.identity
    elif isinstance(source, FileSource):
        stored, read = tf.constant([os.fsencode(file) for file in source.files]), tf.io.read_file
    else:
        raise ValueError(
            "tf.data reads arrays, files and TensorFlow's data sets. Received: "
            f"{type(source).__name__}. Use `keras_crate.data.TrainingBatches`."
        )
    labels, places = tf.constant(source.labels), tf.constant(share.positions(steps))

    def shuffled(key):
        order = tf.random.experimental.stateless_shuffle(tf.range(len(source)), key)
        chosen = (places, tf.gather(order, places))
        return tf.data.Dataset.from_tensor_slices(chosen).map(
            lambda place, k: (place, (read(stored[k]), labels[k])),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    return shuffled


def _in_mode(source: ArraySource, mode: str) -> np.ndarray:
    if image_mode(source.images.shape[1:]) == mode:
        return source.images
    images = np.stack([source.image(k, mode) for k in range(len(source))])
    return images[..., None] if mode == "L" else images


def _shuffled_stream(source: TFDSSource, share: Share) -> Callable:
    """As `shuffled_images`. With several processes, the data set does not end."""
    alone, is_small = share.count == 1, source.builder.info.dataset_size <= CACHED
    buffer = len(source) if is_small else min(len(source), SHUFFLED)
    stored = source.encoded(share.index, share.count)
    if is_small:
        stored = stored.cache()

    def shuffled(key):
        tf.random.set_seed(1)  # of this graph; the key decides, not the global seed
        seed = tf.cast(key[1], "int64")
        images = stored
        if not (alone or is_small):  # the buffer is small: shuffle the files too
            images = source.encoded(share.index, share.count, file_seed=seed)
        images = images.shuffle(buffer, seed, reshuffle_each_iteration=False)
        if alone:
            return images.enumerate()
        # A process whose files have fewer images takes the first ones twice.
        return (
            images.repeat().enumerate().map(lambda k, pair: (k * share.count + share.index, pair))
        )

    return shuffled


def augment_image(image, key, input_shape, augmentation: Augmentation):
    """As `image_augmentation.augment_image`, with other random numbers.

    The image is an array of pixels or the content of a file. A JPEG is decoded
    only inside the crop. Everything random follows from the key.
    """
    height, width, channels = input_shape
    crop = augmentation.crop_area and (lambda shape: _random_box(shape, key, augmentation))
    if image.dtype == tf.string:
        image = _decoded_crop(image, channels, crop)
    elif crop:
        image = tf.slice(image, *crop(tf.shape(image)))
    image = tf.image.resize(image, (height, width), augmentation.interpolation, antialias=True)
    image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), "uint8")  # as Pillow does
    if shift := augmentation.shift:
        image = tf.pad(image, [[shift, shift], [shift, shift], [0, 0]])
        image = tf.image.stateless_random_crop(image, input_shape, fold_in(key, 3))
    if augmentation.flip:
        image = tf.image.stateless_random_flip_left_right(image, fold_in(key, 1))
    if augmentation.rand_augment is not None:
        image = _rand_augmented(image, fold_in(key, 2), augmentation.rand_augment)
    return tf.ensure_shape(tf.cast(image, "float32"), input_shape)


def _random_box(shape, key, augmentation: Augmentation):
    """Draws the upper left corner and the size of a crop."""
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.zeros((0, 0, 4)),
        seed=fold_in(key, 0),
        min_object_covered=0.0,
        aspect_ratio_range=augmentation.crop_ratio,
        area_range=augmentation.crop_area,
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return begin, size


def _few_pixels(data):
    """Whether an image has no more pixels than are decoded, by its header."""
    from PIL import Image

    def by_pillow(data):
        try:
            with opened(io.BytesIO(data)):
                return np.bool_(True)
        except (ValueError, Image.DecompressionBombError):
            return np.bool_(False)
        except Exception:  # TensorFlow says what is wrong
            return np.bool_(True)

    def by_tensorflow():  # in a tenth of the time
        return tf.math.reduce_prod(tf.io.extract_jpeg_shape(data, "int64")[:2]) <= (
            Image.MAX_IMAGE_PIXELS or tf.int64.max
        )

    return tf.cond(
        tf.io.is_jpeg(data),
        by_tensorflow,
        lambda: tf.numpy_function(by_pillow, [data], tf.bool, stateful=False),
    )


def _decoded_crop(data, channels: int, crop):
    few = tf.debugging.Assert(_few_pixels(data), ["The image has too many pixels."])
    with tf.control_dependencies([few]):
        data = tf.identity(data)

    def decode_all():
        image = _decoded(data, channels)
        return tf.slice(image, *crop(tf.shape(image))) if crop else image

    def decode_crop():
        begin, size = crop(tf.io.extract_jpeg_shape(data))
        window = tf.concat([begin[:2], size[:2]], axis=0)
        return tf.io.decode_and_crop_jpeg(data, window, channels=channels)

    if crop is None or channels == 4:
        return decode_all()
    return tf.cond(tf.io.is_jpeg(data), decode_crop, decode_all)


def _decoded(data, channels: int):
    if channels == 4:  # TensorFlow does not decode JPEGs to four channels
        rgba = lambda data: np.asarray(open_image(io.BytesIO(data), "RGBA"))  # noqa: E731
        image = tf.numpy_function(rgba, [data], tf.uint8, stateful=False)
    else:
        image = tf.io.decode_image(data, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, (None, None, channels))


def _rand_augmented(image, key, strength):
    from PIL import Image

    def change(pixels, key):
        rng = np.random.default_rng(np.abs(key.astype("int64")))
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        return np.asarray(rand_augment(image, rng, *strength)).reshape(pixels.shape)

    return tf.numpy_function(change, [image, key], tf.uint8, stateful=False)
