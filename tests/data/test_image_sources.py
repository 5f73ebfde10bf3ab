import numpy as np
import pytest

from keras_crate.data.image_sources import ArraySource, LabelledImages

pytestmark = pytest.mark.any_backend


def _source(labels):
    """Images that hold their own number."""
    images = np.broadcast_to(
        np.arange(len(labels), dtype="uint8")[:, None, None, None], (len(labels), 2, 2, 1)
    )
    return ArraySource(images, np.asarray(labels))


def test_a_cut_is_of_each_class_alike_and_always_the_same():
    source = _source([0] * 100 + [1] * 50 + [2] * 10)
    rest, cut = source.cut(0.2)
    np.testing.assert_array_equal(np.bincount(cut.labels), [20, 10, 2])
    both = np.concatenate([rest.images, cut.images])[:, 0, 0, 0]
    np.testing.assert_array_equal(np.sort(both), np.arange(160))
    assert np.ptp(np.diff(cut.images[:20, 0, 0, 0].astype(int)))  # drawn, not every fifth
    np.testing.assert_array_equal(cut.images, source.cut(0.2)[1].images)


def test_a_class_keeps_an_image():
    rest, cut = _source([0] * 8 + [1]).cut(0.9)
    assert set(rest.labels) == {0, 1} and len(cut) == 7
    with pytest.raises(ValueError, match="too few training images to cut validation"):
        _source([0, 1]).cut(0.1)


def test_what_a_model_is_measured_on():
    train, validation, test = map(_source, ([0, 1], [0], [1]))
    data = LabelledImages("name", train, validation, None, 2, "here", test)
    assert data.measured() == ("test", test)
    assert data.measured("validation") == ("validation", validation)
    data = LabelledImages("name", train, validation, None, 2, "here")
    assert data.measured() == ("validation", validation)
    with pytest.raises(ValueError, match=r"There are no test images. Received: here"):
        data.measured("test")
