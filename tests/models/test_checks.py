import numpy as np
import pytest

from keras_crate.models.checks import check_finite, check_input_shape

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ([3], "3"),
        (range(8), "0, 1, 2, 3, 4, 5, 6, 7"),
        (range(1, 10), "1, 2, 3, 4, 5, 6, 7, 8, ..."),
    ],
)
def test_at_most_eight_broken_images_are_named(broken, shown):
    images = np.zeros((12, 4, 4, 1), "float32")
    images[list(broken), 2, 1] = np.inf
    with pytest.raises(ValueError) as caught:
        check_finite(images)
    assert str(caught.value) == (
        f"{len(broken)} of 12 images have pixels that are NaN or infinite, at index {shown}. "
        "Remove them, or repair them with `numpy.nan_to_num`."
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_the_most_channels(data_format):
    def shape(channels, height, width):
        sides = (height, width)
        return (*sides, channels) if data_format == "channels_last" else (channels, *sides)

    for good in (shape(65_535, 8, 8), shape(1, 70_000, 2), shape(1, 2, 70_000)):
        assert check_input_shape(good, data_format) == good
    assert check_input_shape(shape(3, None, None), data_format) == shape(3, None, None)
    with pytest.raises(ValueError, match="65,535 channels"):
        check_input_shape(shape(65_536, 8, 8), data_format)
