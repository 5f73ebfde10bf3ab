import re

import keras
import numpy as np
import pytest
from authors import golden
from compare import assert_close
from layer_checks import LayerChecks

from keras_crate.layers import TokenEmbedding, resize_positions


class TestTokenEmbedding(LayerChecks):
    cases = (
        (TokenEmbedding, {}, (2, 4, 6), (2, 5, 6), 2),
        (TokenEmbedding, {"grid": (2, 3)}, (2, 6, 4), (2, 7, 4), 2),
        (TokenEmbedding, {"position_initializer": "zeros"}, (2, 4, 6), (2, 5, 6), 2),
    )

    def test_adds_class_token_and_positions(self, rng):
        patches = rng.normal(size=(2, 4, 6)).astype("float32")
        layer = TokenEmbedding()
        tokens = keras.ops.convert_to_numpy(layer(patches))
        token, positions = layer.get_weights()
        assert_close(tokens[:, 1:], patches + positions[:, 1:], atol=1e-6)
        assert_close(tokens[:, :1], np.repeat(token + positions[:, :1], 2, 0), atol=1e-6)

    def test_both_weights_start_as_standard_normal(self):
        layer = TokenEmbedding()
        layer.build((None, 196, 384))
        for values in layer.get_weights():
            assert abs(values.mean()) < 0.2 and abs(values.std() - 1) < 0.1

    def test_weights_of_another_grid_are_resized_on_loading(self, tmp_path, rng):
        def model(grid):
            patches = keras.Input((grid[0] * grid[1], 6))
            return keras.Model(patches, TokenEmbedding(grid=grid)(patches))

        small, large = model((2, 3)), model((4, 5))
        small.save_weights(tmp_path / "a.weights.h5")
        with pytest.warns(UserWarning, match=r"grid of \(2, 3\) patches.*\(4, 5\)"):
            large.load_weights(tmp_path / "a.weights.h5")
        (token, positions), saved = large.layers[1].get_weights(), small.layers[1].get_weights()
        np.testing.assert_array_equal(token, saved[0])
        assert_close(positions, resize_positions(saved[1], (2, 3), (4, 5)), atol=1e-6)

    def test_a_grid_of_as_many_patches_in_another_order_is_resized_too(self, tmp_path):
        def layer(grid):
            made = TokenEmbedding(grid=grid)
            made.build((None, 6, 4))
            return made

        tall, wide, store = layer((3, 2)), layer((2, 3)), {}
        tall.save_own_variables(store)
        with pytest.warns(UserWarning, match="resized"):
            wide.load_own_variables({k: np.array(v) for k, v in store.items()})
        expected = resize_positions(tall.get_weights()[1], (3, 2), (2, 3))
        assert_close(wide.get_weights()[1], expected, atol=1e-6)

    def test_refuses_a_grid_of_another_number_of_patches(self):
        with pytest.raises(ValueError, match=r"grid=\(2, 3\) and 4 patches"):
            TokenEmbedding(grid=(2, 3)).build((None, 4, 6))

    def test_refuses_positions_of_unknown_grid(self):
        layer = TokenEmbedding(grid=(2, 3))
        layer.build((None, 6, 4))
        with pytest.raises(ValueError, match="known grids"):
            layer.assign(np.zeros((1, 1, 4)), np.zeros((1, 8, 4)))


@pytest.mark.parametrize("grid", [(7, 7), (24, 24), (16, 12)])
def test_resizing_is_pytorchs_bicubic(grid):
    tables = golden("position_embedding_bicubic")
    resized = resize_positions(tables["table_14x14_with_class_token"], (14, 14), grid)
    assert_close(resized, tables[f"resized_{grid[0]}x{grid[1]}"], atol=2e-5)


def test_resizing_to_the_same_grid_changes_nothing(rng):
    table = rng.normal(size=(1, 13, 4)).astype("float32")
    np.testing.assert_array_equal(resize_positions(table, (3, 4), (3, 4)), table)


@pytest.mark.parametrize("shape", [(1, 10, 4), (1, 17), (1, 17, 4, 1)])
def test_resizing_refuses_a_table_of_another_grid(shape):
    with pytest.raises(ValueError, match=rf"shape {re.escape(str(shape))} and grid=\(4, 4\)"):
        resize_positions(np.zeros(shape), (4, 4), (2, 2))
