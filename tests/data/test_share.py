"""Batches that several processes and steps divide."""

import keras
import numpy as np
import pytest
from marks import needs
from PIL import Image

from keras_crate import CRATE
from keras_crate.data import (
    Augmentation,
    EvaluationBatches,
    TrainingBatches,
    training_dataset,
)
from keras_crate.data.image_sources import ArraySource, FileSource, TFDSSource
from keras_crate.data.tf_batches import evaluation_dataset
from keras_crate.evaluation import Evaluation

SHAPE = (16, 16, 3)
MOVED = Augmentation(crop_area=None, shift=2)  # of an array: a whole batch at a time
CROPPED = Augmentation()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (26, *SHAPE)).astype("uint8")


def _source(images) -> ArraySource:
    return ArraySource(images, np.arange(len(images)) % 5)


def _epoch(batches, steps=None) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of all batches of an epoch."""
    if steps is not None:
        pairs = list(batches.take(steps).as_numpy_iterator())
    else:
        pairs = [batches[k] for k in range(len(batches))]
    return tuple(np.stack(part) for part in zip(*pairs, strict=True))


def _together(parts) -> list[np.ndarray]:
    """The batches of all processes as one, in the order of the processes."""
    return [np.concatenate(part, axis=1) for part in zip(*parts, strict=True)]


@pytest.mark.any_backend
@pytest.mark.parametrize("augmentation", [MOVED, CROPPED])
def test_processes_have_the_rows_of_one(images, augmentation):
    arguments = (_source(images), 5, SHAPE, 12, augmentation, 3, 1)
    whole = _epoch(TrainingBatches(*arguments))
    parts = [_epoch(TrainingBatches(*arguments, shard=(k, 3), workers=2)) for k in range(3)]
    assert all(part[0].shape == (2, 4, *SHAPE) for part in parts)
    for one, several in zip(whole, _together(parts), strict=True):
        np.testing.assert_array_equal(one, several)


@pytest.mark.any_backend
@pytest.mark.parametrize("augmentation", [MOVED, CROPPED])
@pytest.mark.parametrize("count", [1, 2])
def test_steps_have_the_rows_of_a_batch(images, augmentation, count):
    """26 images are 2 batches of 12; in 3 steps each, 6 steps, and none of the last 2 images."""
    arguments = (_source(images), 5, SHAPE, 12, augmentation)
    whole = _epoch(TrainingBatches(*arguments))
    parts = [
        _epoch(TrainingBatches(*arguments, shard=(k, count), accumulate=3)) for k in range(count)
    ]
    for one, steps in zip(whole, _together(parts), strict=True):
        assert len(steps) == 6
        np.testing.assert_array_equal(one.reshape(steps.shape), steps)


@pytest.mark.any_backend
def test_a_process_reads_only_its_images(images, tmp_path):
    files = [tmp_path / f"{k}.png" for k in range(8)]
    for file, pixels in zip(files, images, strict=False):
        Image.fromarray(pixels).save(file)
    source, read = FileSource(files, [0] * 8), []
    source._read = lambda k, mode: read.append(k) or FileSource._read(source, k, mode)
    batches = TrainingBatches(source, 1, SHAPE, 4, shard=(1, 2))
    _epoch(batches)
    assert sorted(read) == sorted(batches.order.reshape(2, 2, 2)[:, 1].ravel())
    read.clear()
    _epoch(EvaluationBatches(source, 1, SHAPE, 4, 18, shard=(1, 2), multiple_of=2))
    assert sorted(read) == [2, 3, 6, 7]


def test_processes_erase_and_mix_by_other_numbers(images):
    same = ArraySource(np.stack([images[0]] * 8), [0, 1] * 4)
    erased = Augmentation(crop_area=None, flip=False, random_erasing=1.0)
    arguments = (same, 2, SHAPE, 8, erased)
    one, two = (TrainingBatches(*arguments, shard=(k, 2))[0][0] for k in (0, 1))
    assert np.abs(one - two).max() > 1
    again = TrainingBatches(*arguments, shard=(1, 2))[0][0]
    np.testing.assert_array_equal(two, again)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": (0, 5)}, r"cut into 5 equal parts.*\n?.*a batch of 12 of 26"),
        ({"shard": (1, 2), "accumulate": 4}, "cut into 8 equal parts, for 2 processes and 4 steps"),
        ({"shard": (2, 2)}, r"`shard` must be a pair .* Received: shard=\(2, 2\)"),
        ({"shard": 1}, "`shard` must be a pair"),
        ({"accumulate": 0}, "`accumulate` must be a positive integer"),
    ],
)
def test_what_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        TrainingBatches(_source(images), 5, SHAPE, 12, **options)


@pytest.mark.any_backend
def test_a_padding_that_processes_do_not_divide(images):
    with pytest.raises(ValueError, match="`multiple_of` must be a multiple of the 2 processes"):
        EvaluationBatches(_source(images), 5, SHAPE, shard=(0, 2), multiple_of=3)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    model = CRATE(input_shape=SHAPE, patch_size=8, dim=8, depth=1, heads=2, classes=5)
    model.compile(loss="categorical_crossentropy", weighted_metrics=["accuracy"])
    return model


def _measured(model, batches) -> np.ndarray:
    return np.array(model.evaluate(batches, verbose=0))


@pytest.mark.parametrize("batch_size", [21, 64])
def test_padding_does_not_change_what_is_measured(images, model, batch_size):
    evaluation, source = Evaluation.for_model(model), _source(images)
    expected = _measured(model, evaluation.batches(source, model, 5))
    padded = evaluation.batches(source, model, batch_size, multiple_of=8)
    sizes = [len(padded[k][0]) for k in range(len(padded))]
    assert sum(sizes) == 32 and not any(size % 8 for size in sizes)
    np.testing.assert_allclose(_measured(model, padded), expected, rtol=1e-6)
    shards = [
        evaluation.batches(source, model, batch_size, shard=(k, 2), multiple_of=8) for k in (0, 1)
    ]
    assert [[len(shard[k][0]) for k in range(len(shard))] for shard in shards] == [
        [size // 2 for size in sizes]
    ] * 2
    weights = [sum(shard[k][2].sum() for k in range(len(shard))) for shard in shards]
    assert weights[0] > weights[1]  # the padding is at the end
    losses, accuracies = zip(*(_measured(model, shard) for shard in shards), strict=True)
    np.testing.assert_allclose(
        [np.mean(losses), np.average(accuracies, weights=weights)], expected, rtol=1e-6
    )


@needs("tensorflow")
@pytest.mark.parametrize("augmentation", [MOVED, CROPPED])
def test_tf_data(images, augmentation):
    arguments = (_source(images), 5, SHAPE, 12, augmentation, 3, 1)
    whole = _epoch(*training_dataset(*arguments))
    made = [training_dataset(*arguments, shard=(k, 2), accumulate=3) for k in (0, 1)]
    parts = [_epoch(batches, steps) for batches, steps in made]
    for one, steps in zip(whole, _together(parts), strict=True):
        assert len(steps) == 6
        np.testing.assert_allclose(one.reshape(steps.shape), steps, atol=1e-4)


@pytest.fixture(scope="module", params=[1, 3])
def stored(request, tmp_path_factory) -> TFDSSource:
    """20 images of TensorFlow Datasets, in one file or in three of different sizes."""
    tfds = pytest.importorskip("tensorflow_datasets")

    class NumberedMnist(tfds.testing.DummyMnist, skip_registration=True):
        def _generate_examples(self):
            for k in range(20):
                yield k, {"image": np.full((28, 28, 1), k, "uint8"), "label": k % 10}

    builder = NumberedMnist(data_dir=tmp_path_factory.mktemp("stored"))
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=request.param)
    )
    assert len(builder.info.splits["train"].filenames) == request.param
    return TFDSSource(builder, "train")


@needs("tensorflow")
@needs("tensorflow_datasets")
@pytest.mark.parametrize("large", [False, True])
def test_tensorflow_datasets(stored, large, monkeypatch):
    """Processes have different images, the same number of steps, and other orders by epoch."""
    if large:
        monkeypatch.setattr("keras_crate.data.tf_images.CACHED", 0)
    plain, seen = Augmentation(crop_area=None, flip=False), []
    for k in range(2):
        arguments = (stored, 10, (28, 28, 1), 8, plain, 1)
        batches, steps = training_dataset(*arguments, shard=(k, 2))
        assert steps == 2
        images, labels = _epoch(batches, 3 * steps)
        assert images.shape == (6, 4, 28, 28, 1)
        numbers = images.mean(axis=(2, 3, 4)).astype(int)
        np.testing.assert_array_equal(labels.argmax(axis=2), numbers % 10)
        later, _ = _epoch(*training_dataset(*arguments, 2, shard=(k, 2)))
        np.testing.assert_array_equal(images[4:], later)  # a resumed run
        assert (numbers[:2] != numbers[2:4]).any()
        # Of three files, the second process has one, of 6 or 7 images.
        assert all(len({*epoch}) >= (6 if k else 8) for epoch in numbers.reshape(3, 8))
        seen.append({*numbers.ravel()})
    assert not seen[0] & seen[1]


@needs("tensorflow")
@needs("tensorflow_datasets")
def test_evaluation_of_tensorflow_datasets(stored):
    parts = [
        list(
            evaluation_dataset(
                stored, 10, (28, 28, 1), 8, shard=(k, 3), multiple_of=6
            ).as_numpy_iterator()
        )
        for k in range(3)
    ]
    assert [[len(images) for images, *_ in part] for part in parts] == [[2, 2, 2, 2]] * 3
    batches = [batch for part in parts for batch in part]
    images, labels, weights = map(np.concatenate, zip(*batches, strict=True))
    whole = [np.concatenate(part) for part in zip(
        *evaluation_dataset(stored, 10, (28, 28, 1), 8).as_numpy_iterator(), strict=True
    )]  # fmt: skip
    np.testing.assert_array_equal(images[weights > 0], whole[0])
    np.testing.assert_array_equal(labels[weights > 0], whole[1])
    np.testing.assert_allclose(weights, [24 / 20] * 20 + [0] * 4, rtol=1e-6)
