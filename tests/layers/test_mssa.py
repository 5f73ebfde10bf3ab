import keras
import numpy as np
import oracle
import pytest
from compare import assert_close
from hypothesis import given
from hypothesis import strategies as st
from layer_checks import AdaptableLayerChecks, small_search

from keras_crate.layers import MSSA


class TestMSSA(AdaptableLayerChecks):
    cases = (
        (MSSA, {"heads": 2}, (2, 5, 8), (2, 5, 8), 3),
        (MSSA, {"heads": 4, "use_bias": False, "dropout_rate": 0.1}, (2, 5, 8), (2, 5, 8), 2),
        (MSSA, {"heads": 1}, (2, 5, 8), (2, 5, 8), 1),
        (MSSA, {"heads": 2, "kernel_initializer": "glorot_uniform"}, (2, 5, 8), (2, 5, 8), 3),
    )
    dense_parts = ("subspaces", "output_projection")

    @small_search
    @given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
    def test_agrees_with_the_equation(self, heads, head_dim, tokens, seed):
        rng = np.random.default_rng(seed)
        dim = heads * head_dim
        z = rng.normal(size=(2, tokens, dim)).astype("float32")
        layer = MSSA(heads)
        layer.build(z.shape)
        layer.set_weights([rng.normal(size=w.shape) / np.sqrt(dim) for w in layer.get_weights()])
        u, *rest = layer.get_weights()
        y, scores = layer(z, return_attention_scores=True)
        assert_close(y, oracle.mssa(z, u, heads, *rest), atol=2e-5)
        assert_close(scores, oracle.mssa_scores(z, u, heads), atol=2e-5)

    def test_a_single_head_has_no_output_map(self):
        layer = MSSA(1)
        layer.build((None, 5, 8))
        assert layer.output_projection is None

    def test_returns_scores_for_symbolic_tokens_too(self, rng):
        tokens = keras.Input((5, 8))
        outputs, scores = MSSA(2)(tokens, return_attention_scores=True)
        assert outputs.shape == (None, 5, 8) and scores.shape == (None, 2, 5, 5)
        predicted = keras.Model(tokens, scores).predict(rng.normal(size=(3, 5, 8)), verbose=0)
        assert_close(predicted.sum(axis=-1), 1, atol=1e-5)

    def test_initial_values_are_the_authors(self):
        layer = MSSA(4)
        layer.build((None, 5, 256))
        for values in layer.get_weights():  # uniform within 1/sqrt(fan-in), the bias too
            assert np.abs(values).max() <= 1 / 16
            assert np.abs(values).max() > 0.9 / 16
            assert abs(values.std() - 1 / 16 / np.sqrt(3)) < 0.2 / 16

    def test_dropout_acts_in_training_alone(self, rng):
        z = rng.normal(size=(2, 5, 8)).astype("float32")
        layer = MSSA(2, dropout_rate=0.5)
        quiet = [keras.ops.convert_to_numpy(layer(z)) for _ in range(2)]
        noisy = [keras.ops.convert_to_numpy(layer(z, training=True)) for _ in range(2)]
        np.testing.assert_array_equal(*quiet)
        assert np.abs(noisy[0] - noisy[1]).max() > 0

    def test_subspace_bases_are_the_projection_by_heads(self, rng):
        layer = MSSA(2)
        layer.build((None, 5, 8))
        bases = keras.ops.convert_to_numpy(layer.subspace_bases())
        np.testing.assert_array_equal(np.concatenate(bases, axis=1), layer.get_weights()[0])

    @pytest.mark.parametrize("heads", [0, -1, 2.0, "2"])
    def test_refuses_what_is_no_number_of_heads(self, heads):
        with pytest.raises(ValueError, match=r"`heads` must be a positive integer.*Received"):
            MSSA(heads)

    def test_refuses_heads_that_do_not_divide(self):
        with pytest.raises(ValueError, match=r"width 8 and heads=3; 8 is divisible by \[1, 2, 4"):
            MSSA(3).build((None, 5, 8))

    def test_refuses_tokens_of_another_rank(self):
        with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2"):
            MSSA(2)(np.zeros((4, 8)))
