import keras
import numpy as np
import pytest

from keras_crate.data import Augmentation
from keras_crate.data.batch_augmentation import BatchAugmentation

LABELS = np.eye(4, dtype="float32")[np.arange(64) % 4]
# Every image is of one grey, which tells its label.
IMAGES = np.broadcast_to(
    (60.0 * (np.arange(64) % 4))[:, None, None, None], (64, 16, 16, 3)
).astype("float32")  # fmt: skip


def _changed(key=(1, 2), **settings):
    change = BatchAugmentation(Augmentation(**settings), in_tf_data=False)
    images, labels = change(IMAGES, LABELS, np.array(key))
    return (np.asarray(keras.ops.convert_to_numpy(x)) for x in (images, labels))


@pytest.mark.parametrize("mixup", [0.8, 1])  # an integer too, as in a recipe
def test_mixup_mixes_labels_as_it_mixes_images(mixup):
    images, labels = _changed(mixup=mixup)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-5)
    assert ((labels > 0.01).sum(axis=1) == 2).mean() > 0.4
    expected = labels @ (60.0 * np.arange(4))
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), expected, rtol=1e-4, atol=1e-3)


def test_cutmix_mixes_labels_by_area():
    images, labels = _changed(cutmix=1.0)
    expected = labels @ (60.0 * np.arange(4))
    # The edges of a part lie between pixels: the area may be wrong by a row and a column.
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), expected, atol=180 * 2 / 16)
    assert all(len(np.unique(image)) <= 2 for image in images)


def test_each_of_both_is_drawn_half_the_time():
    mixed = [
        max(
            len(np.unique(image.round(3)))
            for image in next(_changed((k, k), mixup=0.8, cutmix=1.0))
        )
        for k in range(60)
    ]  # MixUp leaves an image of one grey
    assert 0.25 < np.mean([count == 1 for count in mixed]) < 0.75


def test_erasing_leaves_labels():
    images, labels = _changed(random_erasing=0.5)
    erased = (np.abs(images - IMAGES).max(axis=(1, 2, 3)) > 0).mean()
    assert 0.25 < erased < 0.75
    np.testing.assert_array_equal(labels, LABELS)
    assert images.min() >= 0 and images.max() <= 255


def test_the_key_decides():
    a, b, c = (next(_changed(key, mixup=0.8)) for key in ((3, 4), (3, 4), (3, 5)))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1


@pytest.mark.any_backend
def test_what_is_refused():
    for bad in (
        {"crop_area": (0.5, 0.2)}, {"crop_area": (0, 1)}, {"crop_area": 0.5},
        {"crop_ratio": (-1, 1)}, {"flip": 1}, {"rand_augment": (0, 9)}, {"rand_augment": (2, 31)},
        {"rand_augment": 2}, {"mixup": -0.1}, {"cutmix": 2}, {"random_erasing": "yes"},
        {"interpolation": "nearest"}, {"shift": -1}, {"shift": 0.5}, {"shift": True},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"`{next(iter(bad))}` must be"):
            Augmentation(**bad)
    assert Augmentation(rand_augment=[2, 9]).rand_augment == (2, 9)  # JSON has lists
