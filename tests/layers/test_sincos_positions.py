import numpy as np
import pytest
from authors import golden

from keras_crate.layers import sincos_positions


def test_is_the_authors_table():
    expected = golden("crate_mae_micro")["state/decoder_pos_embed"]
    np.testing.assert_allclose(sincos_positions((4, 4), 48), expected, atol=1e-6)


def test_rows_and_columns_of_a_grid_that_is_not_square():
    table = sincos_positions((2, 3), 8)[0, 1:].reshape(2, 3, 8)
    columns, rows = table[..., :4], table[..., 4:]
    np.testing.assert_array_equal(columns[0], columns[1])
    np.testing.assert_array_equal(rows[:, 0], rows[:, 2])
    np.testing.assert_allclose(columns[0, 2, 0], np.sin(2), rtol=1e-6)
    np.testing.assert_allclose(rows[1, 0, 2], np.cos(1), rtol=1e-6)


def test_refuses_a_width_not_divisible_by_4():
    with pytest.raises(ValueError, match=r"divisible by 4.*Received: dim=6"):
        sincos_positions((2, 2), 6)
