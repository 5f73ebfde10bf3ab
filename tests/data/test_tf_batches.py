"""The pipeline by tf.data, for TensorFlow only."""

import os

import keras
import numpy as np
import pytest
from large_pictures import large_jpeg, large_png
from marks import needs
from PIL import Image

from keras_crate.data import (
    Augmentation,
    TrainingBatches,
    open_data,
    training_dataset,
)
from keras_crate.data.image_sources import ArraySource, FileSource, ImageSource
from keras_crate.data.tf_batches import evaluation_dataset

pytestmark = needs("tensorflow")

PLAIN = Augmentation(crop_area=None, flip=False)
EVERYTHING = Augmentation(rand_augment=(2, 14), random_erasing=0.5, mixup=0.5, cutmix=1.0)


def _arrays(dataset, count):
    return [tuple(map(np.asarray, pair)) for pair in dataset.take(count)]


def test_an_epoch_has_every_image_once():
    digits = open_data("digits").train.sample(100)
    batches, steps = training_dataset(digits, 10, (8, 8, 1), 25, PLAIN)
    assert steps == 4
    images = [images for images, _ in _arrays(batches, 8)]
    first, second = np.concatenate(images[:4]), np.concatenate(images[4:])
    expected = sorted(image.tobytes() for image in digits.images.astype("float32"))
    for epoch in (first, second):
        assert sorted(image.astype("float32").tobytes() for image in epoch) == expected
    assert np.abs(first.astype("float32") - second.astype("float32")).max() > 0


@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING])
def test_a_resumed_run_gets_the_same_batches(augmentation):
    source = open_data("digits").train.sample(64)
    batches, steps = training_dataset(source, 10, (16, 16, 1), 16, augmentation, seed=7)
    whole = _arrays(batches, 3 * steps)
    resumed = _arrays(training_dataset(source, 10, (16, 16, 1), 16, augmentation, 7, 2)[0], steps)
    for a, b in zip(whole[2 * steps :], resumed, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    other = _arrays(training_dataset(source, 10, (16, 16, 1), 16, augmentation, 8)[0], 1)
    assert np.abs(other[0][0] - whole[0][0]).max() > 1


@pytest.fixture
def photographs(tmp_path):
    """Three JPEGs and a PNG: red grows to the right, and blue is the index times 60."""
    files = []
    for k in range(4):
        pixels = np.zeros((60, 90, 3), "uint8")
        pixels[..., 0] = np.linspace(0, 240, 90)
        pixels[..., 2] = 60 * k
        files.append(tmp_path / f"{k}.{'png' if k == 3 else 'jpg'}")
        Image.fromarray(pixels).save(files[-1], quality=95)
    return files


def test_files_as_pillow_reads_them(photographs):
    source = FileSource(photographs, [0, 1, 0, 1])
    [(images, labels)] = _arrays(training_dataset(source, 2, (32, 32, 3), 4, PLAIN)[0], 1)
    order = images[..., 2].mean(axis=(1, 2)).argsort()
    batches = TrainingBatches(source, 2, (32, 32, 3), 4, PLAIN)
    ours, _ = batches[0]
    ours = ours[ours[..., 2].mean(axis=(1, 2)).argsort()]
    assert np.abs(images[order] - ours).mean() < 2  # decoders and antialiasing differ
    np.testing.assert_array_equal(labels[order].argmax(axis=1), [0, 1, 0, 1])


def test_crops_and_flips(photographs):
    source = FileSource(photographs[:1] * 200 + photographs[3:] * 200, [0] * 200 + [1] * 200)
    [(images, labels)] = _arrays(training_dataset(source, 2, (16, 16, 3), 400)[0], 1)
    for label in (0, 1):  # JPEG and PNG
        ramps = images[labels[:, label] == 1][:, 8, :, 0]
        spans = np.abs(ramps[:, -1] - ramps[:, 0])
        assert 0.4 < (ramps[:, 0] > ramps[:, -1]).mean() < 0.6
        assert spans.min() < 90 and spans.max() > 160


def test_images_are_moved_as_without_tensorflow():
    digit = np.pad(np.random.default_rng(0).integers(1, 256, (4, 4, 3)), ((6, 6), (6, 6), (0, 0)))
    source = ArraySource(np.stack([digit] * 512).astype("uint8"), [0, 1] * 256)
    augmentation = Augmentation(crop_area=None, shift=2)
    [(images, _)] = _arrays(training_dataset(source, 2, (16, 16, 3), 512, augmentation)[0], 1)
    others, _ = TrainingBatches(source, 2, (16, 16, 3), 512, augmentation)[0]
    seen, expected = ({image.tobytes() for image in batch} for batch in (images, others))
    assert seen == expected and len(seen) == 50  # 5 x 5 shifts, flipped or not


def test_grey_to_colour_and_back():
    digits = open_data("digits").train.sample(8)
    [(images, _)] = _arrays(training_dataset(digits, 10, (8, 8, 3), 8, PLAIN)[0], 1)
    np.testing.assert_array_equal(images[..., 0], images[..., 2])
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype="uint8")
    arrays = open_data((colour, np.arange(8)))
    [(images, _)] = _arrays(training_dataset(arrays.train, 8, (8, 8, 1), 8, PLAIN)[0], 1)
    assert images.shape == (8, 8, 8, 1)


@pytest.mark.parametrize("augmentation", [PLAIN, Augmentation()])
def test_files_with_transparency(photographs, augmentation):
    """A JPEG is opaque."""
    source = FileSource(photographs, [0, 1, 0, 1])
    [(images, _)] = _arrays(training_dataset(source, 2, (16, 16, 4), 4, augmentation)[0], 1)
    assert images.shape == (4, 16, 16, 4) and (images[..., 3] == 255).all()


def test_images_that_tf_data_cannot_read():
    source = ImageSource([0, 1])
    with pytest.raises(ValueError, match=r"tf.data reads arrays, .*Received: ImageSource"):
        training_dataset(source, 2, (8, 8, 3), 2)


@needs("tensorflow_datasets")
def test_tensorflow_datasets():
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=6):
        data = open_data("oxford_iiit_pet", validation=0)
        batches, steps = training_dataset(data.train, 37, (24, 24, 3), 3, EVERYTHING, seed=1)
        assert steps == 2
        whole = _arrays(batches, 4)
        later = _arrays(training_dataset(data.train, 37, (24, 24, 3), 3, EVERYTHING, 1, 1)[0], 2)
        for a, b in zip(whole[2:], later, strict=True):
            np.testing.assert_array_equal(a[0], b[0])
        test = evaluation_dataset(data.test, 37, (24, 24, 3), 4, resize=28)
        images, labels = (np.concatenate(part) for part in zip(*_arrays(test, 9), strict=True))
        assert images.shape == (6, 24, 24, 3)
        np.testing.assert_array_equal(labels.argmax(axis=1), data.test.labels)


def test_a_keras_layer_as_augment():
    digits = open_data("digits").train.sample(16)
    layer = keras.layers.RandomBrightness((0.2, 0.2), value_range=(0, 255))
    options = {"augmentation": PLAIN, "seed": 3}
    [(plain, _)] = _arrays(training_dataset(digits, 10, (8, 8, 1), 16, **options)[0], 1)
    [(bright, _)] = _arrays(
        training_dataset(digits, 10, (8, 8, 1), 16, **options, augment=layer)[0], 1
    )
    np.testing.assert_allclose(bright, np.minimum(plain + 51, 255), atol=1e-3)


@needs("keras_cv")
def test_a_keras_cv_layer_as_augment():
    import keras_cv

    digits = open_data("digits").train.sample(16)
    layer = keras_cv.layers.RandAugment(value_range=(0, 255), seed=1)
    source = open_data((np.repeat(digits.images, 3, axis=-1), digits.labels)).train
    options = {"augmentation": PLAIN, "seed": 3}
    [(plain, _)] = _arrays(training_dataset(source, 10, (8, 8, 3), 16, **options)[0], 1)
    [(changed, labels)] = _arrays(
        training_dataset(source, 10, (8, 8, 3), 16, **options, augment=layer)[0], 1
    )
    assert changed.shape == plain.shape and np.abs(changed - plain).max() > 10
    assert changed.min() >= 0 and changed.max() <= 255
    assert labels.sum() == 16


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("channels", [3, 4])
def test_pictures_of_too_many_pixels_are_not_decoded(channels, tmp_path):
    import tensorflow as tf

    Image.new("RGB", (8, 8)).save(tmp_path / "small.jpg")
    small = (tmp_path / "small.jpg").read_bytes()
    for name, content in (("large.png", large_png()), ("large.jpg", large_jpeg(small))):
        (tmp_path / name).write_bytes(content)
        source = FileSource([tmp_path / name] * 2, [0, 1])
        batches, _ = training_dataset(source, 2, (8, 8, channels), 2, Augmentation())
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"too many pixels|13,300 x"):
            _arrays(batches, 1)
        with pytest.raises(ValueError, match=rf"{name} cannot be read .it has 13,300 x 13,300"):
            source.image(0, "RGB")


def test_names_that_are_not_utf8(tmp_path):
    file = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (8, 8), (200, 0, 0)).save(file)
    batches, _ = training_dataset(FileSource([file] * 2, [0, 1]), 2, (8, 8, 3), 2, PLAIN)
    ((images, _),) = _arrays(batches, 1)
    assert images[..., 0].min() == 200
