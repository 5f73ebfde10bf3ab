import keras
import numpy as np
import oracle
import pytest
from authors import golden, state_of
from compare import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import AdaptableLayerChecks, small_search

from keras_crate.layers import CBSA


class TestCBSA(AdaptableLayerChecks):
    cases = (
        (CBSA, {"heads": 2, "representatives": 2}, (2, 10, 8), (2, 10, 8), 5),
        (
            CBSA,
            {"heads": 1, "representatives": (1, 3), "grid": (2, 3), "use_bias": False},
            (2, 7, 8),
            (2, 7, 8),
            4,
        ),
        # Fewer rows and columns than representatives: windows repeat.
        (CBSA, {"heads": 4, "dropout_rate": 0.1}, (2, 5, 8), (2, 5, 8), 5),
    )
    dense_parts = ("subspaces", "output_projection")

    def test_golden(self):
        arrays = golden("cbsa_layer")
        layer = CBSA(4)
        layer.build((None, 197, 48))
        _put(layer, state_of(arrays))
        assert_close(layer(arrays["tokens_in"]), arrays["tokens_out"], atol=2e-5)

    @settings(small_search, max_examples=3)
    @given(
        st.integers(1, 3),
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        st.tuples(st.integers(1, 4), st.integers(2, 4)),
        st.integers(0, 2**31),
    )
    def test_agrees_with_the_equation(self, heads, grid, representatives, seed):
        rng = np.random.default_rng(seed)
        dim = 3 * heads
        z = rng.normal(size=(2, 1 + grid[0] * grid[1], dim)).astype("float32")
        layer = CBSA(heads, representatives, grid)
        layer.build(z.shape)
        layer.set_weights([rng.normal(size=w.shape) / np.sqrt(dim) for w in layer.get_weights()])
        y, scores = layer(z, return_attention_scores=True)
        weights = layer.get_weights()
        expected, attention = oracle.cbsa(z, grid, representatives, heads, *weights)
        assert_close(y, expected, atol=2e-5)
        assert_close(scores, np.swapaxes(attention, -1, -2) @ attention, atol=2e-5)

    def test_returns_scores_for_symbolic_tokens_too(self):
        tokens = keras.Input((5, 8))
        outputs, scores = CBSA(2)(tokens, return_attention_scores=True)
        assert outputs.shape == (None, 5, 8) and scores.shape == (None, 2, 5, 5)

    def test_dropout_acts_in_training_alone(self, rng):
        z = rng.normal(size=(2, 5, 8)).astype("float32")
        layer = CBSA(2, dropout_rate=0.5)
        quiet = [keras.ops.convert_to_numpy(layer(z)) for _ in range(2)]
        noisy = [keras.ops.convert_to_numpy(layer(z, training=True)) for _ in range(2)]
        np.testing.assert_array_equal(*quiet)
        assert np.abs(noisy[0] - noisy[1]).max() > 0

    def test_half_precision_does_not_overflow_over_many_tokens(self, rng):
        z = 4 * rng.normal(size=(1, 4097, 8)).astype("float32")
        exact, half = CBSA(2), CBSA(2, dtype="mixed_float16")
        for layer in (exact, half):
            layer.build(z.shape)
        half.set_weights(exact.get_weights())
        found = keras.ops.cast(half(z), "float32")
        assert_close(found, exact(z), atol=0.02)

    @pytest.mark.any_backend
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                {"grid": (2, 3)},
                r"`grid` must have a patch .*grid=\(2, 3\), 0 registers\s+and 5 tokens",
            ),
            ({"representatives": 0}, r"`representatives` must be a positive integer or a pair"),
            ({"grid": 1.5}, r"`grid` must be a positive integer or a pair"),
        ],
    )
    def test_refuses_a_grid_that_does_not_fit(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            CBSA(2, **arguments).build((None, 5, 8))

    @pytest.mark.any_backend
    def test_needs_a_grid_if_it_is_not_a_square(self):
        for tokens in (None, 1, 6):
            with pytest.raises(
                ValueError, match=f"a square. Received: grid=None, 0 registers and {tokens} t"
            ):
                CBSA(2).build((None, tokens, 8))
        for tokens in (None, 6):
            CBSA(2, grid=(5, 1)).build((None, tokens, 8))


def _put(layer, state):
    layer.set_weights(
        [
            state["step_x"],
            state["step_rep"],
            state["proj.weight"].T,
            state["to_out.weight"].T,
            state["to_out.bias"],
        ]
    )


@pytest.mark.any_backend
def test_registers_are_not_in_the_windows(rng):
    w = rng.normal(size=(2, 2, 13, 3)).astype("float32")  # class token and 3 x 4 patches
    registers = rng.normal(size=(2, 2, 5, 3)).astype("float32")
    plain, layer = (CBSA(2, 2, grid=(3, 4), registers=r) for r in (0, 5))
    plain.build((None, 13, 6))
    layer.build((None, 18, 6))
    found = layer._pooled(np.concatenate([w[:, :, :1], registers, w[:, :, 1:]], axis=2))
    assert_close(found, plain._pooled(w), atol=1e-6)
    with pytest.raises(ValueError, match=r"5 registers and 13 tokens"):
        CBSA(2, 2, grid=(3, 4), registers=5).build((None, 13, 6))
