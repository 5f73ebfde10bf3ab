import keras
import numpy as np
import pytest

from keras_crate.data import TrainingFiles
from keras_crate.data.training_files import random_box

SHAPE = (16, 16, 3)


@pytest.fixture
def files(tmp_path):
    """Images whose red grows to the right, and whose blue says which it is."""
    paths = []
    for k in range(6):
        pixels = np.zeros((40, 60, 3))
        pixels[..., 0] = np.linspace(0, 240, 60)
        pixels[..., 2] = 40 * k
        paths.append(tmp_path / f"{k}.png")
        keras.utils.save_img(paths[-1], pixels, scale=False)
    return paths


def _batches(files, **options):
    labels = [0, 1, 2, 0, 1, 2]
    return TrainingFiles(files, labels, 3, SHAPE, **{"batch_size": 4, **options})


def test_batches(files):
    batches = _batches(files)
    assert len(batches) == 1
    images, labels = batches[0]
    assert images.shape == (4, *SHAPE)
    assert labels.shape == (4, 3)
    which = (images[..., 2].mean(axis=(1, 2)) / 40).round().astype(int)
    assert len(set(which)) == 4
    np.testing.assert_array_equal(labels.argmax(axis=1), which % 3)


def test_epochs_differ_and_seeds_repeat(files):
    one, two, other = _batches(files), _batches(files), _batches(files, seed=1)
    np.testing.assert_array_equal(one[0][0], two[0][0])
    assert np.abs(one[0][0] - other[0][0]).max() > 1
    two.on_epoch_end()
    assert np.abs(one[0][0] - two[0][0]).max() > 1


def test_half_are_turned(files):
    batches = _batches(files[:1] * 6, batch_size=6)
    turned = []
    for _ in range(40):
        images = batches[0][0]
        turned += list(images[:, 8, 0, 0] > images[:, 8, -1, 0])
        batches.on_epoch_end()
    assert 0.4 < np.mean(turned) < 0.6


def test_boxes():
    rng = np.random.default_rng(0)
    boxes = np.array([random_box((120, 80), rng) for _ in range(2000)])
    left, upper, right, lower = boxes.T
    assert left.min() >= 0 and upper.min() >= 0
    assert right.max() <= 120 and lower.max() <= 80
    share = (right - left) * (lower - upper) / (120 * 80)
    proportion = (right - left) / (lower - upper)
    assert 0.08 <= share.min() < 0.1 and 0.8 < share.max() <= 1
    assert proportion.min() + 1e-9 >= 0.75 and proportion.max() <= 4 / 3 + 1e-9
    assert random_box((1000, 2), rng)  # no part of these proportions has 8 % of it
    assert random_box((1000, 2), np.random.default_rng(1)) == (0, 0, 1000, 2)


def test_what_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match="`files` must name at least one image"):
        TrainingFiles([], [], 3, SHAPE, 4)
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more"):
        _batches(files, batch_size=0)
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        TrainingFiles(files, [0] * 6, 3, (16, 16, 2), 4)
    files[3].write_bytes(b"none")
    with pytest.raises(ValueError, match=r"3.png cannot be read .*Remove or replace it"):
        _batches(files, batch_size=6)[0]
