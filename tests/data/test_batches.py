import keras
import numpy as np
import pytest

from keras_crate.data import Augmentation, EvaluationBatches, TrainingBatches, open_data
from keras_crate.data.image_augmentation import random_box
from keras_crate.data.image_sources import ArraySource, FileSource

SHAPE = (16, 16, 3)


@pytest.fixture
def files(tmp_path):
    """Images whose red grows to the right, and whose blue is the index times 40."""
    paths = []
    for k in range(6):
        pixels = np.zeros((40, 60, 3))
        pixels[..., 0] = np.linspace(0, 240, 60)
        pixels[..., 2] = 40 * k
        paths.append(tmp_path / f"{k}.png")
        keras.utils.save_img(paths[-1], pixels, scale=False)
    return paths


def _batches(files, **options):
    source = FileSource(files, [0, 1, 2, 0, 1, 2])
    return TrainingBatches(source, 3, SHAPE, **{"batch_size": 4, **options})


def test_batches(files):
    batches = _batches(files)
    assert len(batches) == 1
    images, labels = batches[0]
    assert images.shape == (4, *SHAPE)
    assert labels.shape == (4, 3)
    which = (images[..., 2].mean(axis=(1, 2)) / 40).round().astype(int)
    assert len(set(which)) == 4
    np.testing.assert_array_equal(labels.argmax(axis=1), which % 3)


EVERYTHING = Augmentation(rand_augment=(2, 14), random_erasing=0.5, mixup=0.5, cutmix=1.0)


@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING])
def test_seed_epoch_and_image_decide(files, augmentation):
    options = {"augmentation": augmentation, "batch_size": 3}
    one, two = _batches(files, **options), _batches(files, **options)
    other = _batches(files, seed=1, **options)
    np.testing.assert_array_equal(one[1][0], two[1][0])
    assert np.abs(one[1][0] - other[1][0]).max() > 1
    two.on_epoch_end()
    assert np.abs(one[1][0] - two[1][0]).max() > 1
    later = _batches(files, epoch=1, **options)  # as in a resumed run
    for a, b in zip(two[1], later[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_change_nothing():
    """Each epoch has every image once, in the seed's order, with any number of threads."""
    digits = open_data("digits").train.sample(48)
    plain = Augmentation(crop_area=None, flip=False)
    one, more = (TrainingBatches(digits, 10, (8, 8, 1), 8, plain, workers=n) for n in (1, 3))
    for epoch in range(3):
        seen = set()
        for index in range(len(one)):
            for a, b in zip(one[index], more[index], strict=True):
                np.testing.assert_array_equal(a, b)
            seen |= {image.tobytes() for image in more[index][0]}
        assert len(seen) == len({image.tobytes() for image in digits.images})
        one.on_epoch_end()
        more.start(epoch + 1)


def test_half_are_flipped(files):
    batches = _batches(files[:1] * 6, batch_size=6)
    turned = []
    for _ in range(40):
        images = batches[0][0]
        turned += list(images[:, 8, 0, 0] > images[:, 8, -1, 0])
        batches.on_epoch_end()
    assert 0.4 < np.mean(turned) < 0.6


def test_without_augmentation_nothing_is_changed():
    digits = open_data("digits")
    plain = Augmentation(crop_area=None, flip=False)
    batches = TrainingBatches(digits.train, 10, (8, 8, 1), 100, plain)
    images, labels = batches[2]
    chosen = batches.order[200:300]
    np.testing.assert_array_equal(images, digits.train.images[chosen])
    np.testing.assert_array_equal(labels.argmax(axis=1), digits.train.labels[chosen])


def test_augment_sees_the_batch_before_it_is_mixed(files):
    seen = []

    def augment(images):
        seen.append(images.max())
        return images * 0 + 7

    mixing = {"augment": augment, "augmentation": Augmentation(mixup=1.0)}
    changed = [_batches(files, seed=seed, **mixing)[0] for seed in range(8)]
    assert seen[0] > 100
    np.testing.assert_allclose(changed[0][0], 7, atol=1e-5)
    assert any(((labels > 0).sum(axis=1) > 1).any() for _, labels in changed)
    layer = keras.layers.RandomBrightness((0.5, 0.5), value_range=(0, 255))
    plain, bright = _batches(files)[0][0], _batches(files, augment=layer)[0][0]
    np.testing.assert_allclose(bright, np.minimum(plain + 127.5, 255), atol=1e-3)


@pytest.mark.any_backend
def test_boxes():
    rng, ranges = np.random.default_rng(0), ((0.08, 1.0), (3 / 4, 4 / 3))
    boxes = np.array([random_box((120, 80), rng, *ranges) for _ in range(2000)])
    left, upper, right, lower = boxes.T
    assert left.min() >= 0 and upper.min() >= 0
    assert right.max() <= 120 and lower.max() <= 80
    share = (right - left) * (lower - upper) / (120 * 80)
    proportion = (right - left) / (lower - upper)
    assert 0.08 <= share.min() < 0.1 and 0.8 < share.max() <= 1
    assert proportion.min() + 1e-9 >= 0.75 and proportion.max() <= 4 / 3 + 1e-9
    # No part with these aspect ratios has 8 % of a long and narrow image.
    assert random_box((1000, 2), rng, *ranges) == (0, 0, 1000, 2)


def test_evaluation_batches_have_all_images_in_order(files):
    batches = EvaluationBatches(FileSource(files, [0, 1, 2, 0, 1, 2]), 3, SHAPE, 4, resize=18)
    assert [len(batches[k][0]) for k in range(len(batches))] == [4, 2]
    images = np.concatenate([batches[k][0] for k in range(2)])
    np.testing.assert_allclose(images[..., 2].mean(axis=(1, 2)), 40 * np.arange(6))
    np.testing.assert_array_equal(batches[1][1].argmax(axis=1), [1, 2])


def test_what_is_refused(files):
    for name in ("batch_size", "workers"):
        with pytest.raises(ValueError, match=f"`{name}` must be a positive integer"):
            _batches(files, **{name: 0})
    with pytest.raises(ValueError, match="`resize` must be None, a positive integer"):
        EvaluationBatches(FileSource(files, [0] * 6), 3, SHAPE, resize=-1)
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        TrainingBatches(FileSource(files, [0] * 6), 3, (16, 16, 2), 4)
    files[3].write_bytes(b"none")
    with pytest.raises(ValueError, match=r"3.png cannot be read .*Remove or replace it"):
        _batches(files, batch_size=6)[0]


SHIFTED = Augmentation(crop_area=None, shift=2, flip=True)


def _digit(rng):
    """A random picture that stays inside when it is moved by two pixels."""
    return np.pad(rng.integers(1, 256, (4, 4, 3)), ((6, 6), (6, 6), (0, 0)))


def test_images_are_moved_and_flipped():
    digits = np.stack([_digit(np.random.default_rng(k)) for k in range(64)]).astype("uint8")
    batches = TrainingBatches(ArraySource(digits, range(64)), 64, SHAPE, 64, SHIFTED)
    assert batches.array is not None
    images, labels = batches[0]
    assert images.dtype == np.float32
    moved = set()
    for image, k in zip(images, labels.argmax(axis=1), strict=True):
        rows, columns = (np.flatnonzero(image.sum(axis=(axis, 2))) for axis in (1, 0))
        part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        flipped = not np.array_equal(part, digits[k, 6:10, 6:10])
        np.testing.assert_array_equal(part[:, ::-1] if flipped else part, digits[k, 6:10, 6:10])
        moved.add((rows[0] - 6, columns[0] - 6, flipped))
    assert {shift for shift, *_ in moved} == {shift for _, shift, _ in moved} == {*range(-2, 3)}
    assert {flipped for *_, flipped in moved} == {True, False}
    batches.on_epoch_end()
    assert (batches[0][0] != images).any()


def test_arrays_are_changed_as_files_are(monkeypatch):
    """Without the faster way for arrays, images are changed in the same ways."""
    digit = np.stack([_digit(np.random.default_rng(0))] * 256).astype("uint8")

    def seen():
        batches = TrainingBatches(ArraySource(digit, [0] * 256), 2, SHAPE, 256, SHIFTED)
        return {image.tobytes() for image in batches[0][0]}, batches.array is not None

    fast, from_array = seen()
    assert from_array and len(fast) == 50  # 5 x 5 shifts, flipped or not
    monkeypatch.setattr("keras_crate.data.batches._array_of", lambda *arguments: None)
    assert seen() == (fast, False)


def test_arrays_of_the_models_size_are_evaluated_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype("uint8")
    source = ArraySource(images, [0, 1, 2])
    for resize in (None, 16, (16, 16)):
        batches = EvaluationBatches(source, 3, SHAPE, batch_size=2, resize=resize)
        assert batches.array is not None
        np.testing.assert_array_equal(batches[1][0], images[2:])
    assert EvaluationBatches(source, 3, SHAPE, resize=20).array is None
    assert EvaluationBatches(source, 3, (8, 8, 3)).array is None
