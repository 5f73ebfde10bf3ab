import keras
import numpy as np
import oracle
import pytest
from authors import golden, state_of
from compare import assert_close
from hypothesis import given
from hypothesis import strategies as st
from layer_checks import AdaptableLayerChecks, gradients, small_search

from keras_crate.layers import TSSA


class TestTSSA(AdaptableLayerChecks):
    cases = (
        (TSSA, {"heads": 2}, (2, 5, 8), (2, 5, 8), 4),
        (TSSA, {"heads": 4, "use_bias": False, "dropout_rate": 0.1}, (2, 5, 8), (2, 5, 8), 3),
        (TSSA, {"heads": 1, "use_subspace_bias": True}, (2, 5, 8), (2, 5, 8), 5),
    )
    dense_parts = ("subspaces", "output_projection")

    def test_golden(self):
        arrays = golden("tssa_layer")
        state = state_of(arrays)
        layer = TSSA(4)
        layer.build((None, 17, 48))
        layer.set_weights(
            [
                state["temp"],
                state["qkv.weight"].T,
                state["to_out.0.weight"].T,
                state["to_out.0.bias"],
            ]
        )
        assert_close(layer(arrays["tokens_in"]), arrays["tokens_out"], atol=2e-5)

    @small_search
    @given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))
    def test_agrees_with_the_equation(self, heads, head_dim, tokens, seed):
        rng = np.random.default_rng(seed)
        dim = heads * head_dim
        z = rng.normal(size=(2, tokens, dim)).astype("float32")
        layer = TSSA(heads, use_subspace_bias=True)
        layer.build(z.shape)
        layer.set_weights([rng.normal(size=w.shape) / np.sqrt(dim) for w in layer.get_weights()])
        temperature, u, u_bias, out, bias = layer.get_weights()
        y, memberships = layer(z, return_memberships=True)
        expected, pi = oracle.tssa(z, u, heads, temperature, out, bias, u_bias)
        assert_close(y, expected, atol=2e-5)
        assert_close(memberships, pi, atol=2e-5)

    def test_returns_memberships_for_symbolic_tokens_too(self, rng):
        tokens = keras.Input((5, 8))
        outputs, memberships = TSSA(2)(tokens, return_memberships=True)
        assert outputs.shape == (None, 5, 8) and memberships.shape == (None, 2, 5)
        predicted = keras.Model(tokens, memberships).predict(rng.normal(size=(3, 5, 8)), verbose=0)
        assert_close(predicted.sum(axis=1), 1, atol=1e-5)

    def test_tokens_of_zeros_have_a_gradient(self, rng):
        layer = TSSA(2)
        layer.build((None, 5, 8))
        (slope,) = gradients(lambda x: keras.ops.sum(layer(x)), np.zeros((1, 5, 8), "float32"))
        assert np.isfinite(slope).all()

    def test_small_tokens_are_not_lost(self, rng):
        z = 1e-4 * rng.normal(size=(1, 5, 8)).astype("float32")
        layer = TSSA(2)
        _, memberships = layer(z, return_memberships=True)
        _, of_larger = layer(1e4 * z, return_memberships=True)
        assert_close(memberships, of_larger, atol=1e-5)  # lengths do not matter
        memberships = keras.ops.convert_to_numpy(memberships)
        assert np.abs(memberships - 0.5).max() > 0.01

    def test_half_precision_does_not_overflow_over_many_tokens(self, rng):
        z = 8 * rng.normal(size=(1, 4096, 8)).astype("float32")
        exact, half = TSSA(2), TSSA(2, dtype="mixed_float16")
        for layer in (exact, half):
            layer.build(z.shape)
        half.set_weights(exact.get_weights())
        found = keras.ops.cast(half(z), "float32")
        assert_close(found, exact(z), atol=0.02)

    def test_dropout_acts_in_training_alone(self, rng):
        z = rng.normal(size=(2, 5, 8)).astype("float32")
        layer = TSSA(2, dropout_rate=0.5)
        quiet = [keras.ops.convert_to_numpy(layer(z)) for _ in range(2)]
        noisy = [keras.ops.convert_to_numpy(layer(z, training=True)) for _ in range(2)]
        np.testing.assert_array_equal(*quiet)
        assert np.abs(noisy[0] - noisy[1]).max() > 0

    def test_refuses_tokens_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"width 8 and heads=3; 8 is divisible by \[1, 2, 4"):
            TSSA(3).build((None, 5, 8))
        with pytest.raises(ValueError, match=r"expected ndim=3, found ndim=2"):
            TSSA(2)(np.zeros((4, 8)))
