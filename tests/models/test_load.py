import numpy as np
import pytest

import keras_crate

pytestmark = pytest.mark.any_backend


def test_the_image_shape_follows_the_data_format():
    last = keras_crate.load("crate_digits", data_format="channels_last")
    first = keras_crate.load("crate_digits", data_format="channels_first")
    assert last.input_shape[1:] == keras_crate.load("crate_digits").input_shape[1:]
    assert first.input_shape[1:] == tuple(last.input_shape[k] for k in (3, 1, 2))
    for a, b in zip(first.get_weights(), last.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
