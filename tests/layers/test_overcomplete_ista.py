import keras
import numpy as np
import oracle
import pytest
from compare import assert_close
from hypothesis import given
from hypothesis import strategies as st
from layer_checks import AdaptableLayerChecks, small_search

from keras_crate.layers import OvercompleteISTA


class TestOvercompleteISTA(AdaptableLayerChecks):
    cases = (
        (OvercompleteISTA, {}, (2, 5, 8), (2, 5, 8), 2),
        (OvercompleteISTA, {"decoupled": False, "ratio": 2}, (2, 5, 8), (2, 5, 8), 1),
        (OvercompleteISTA, {"step_size": 0.2, "penalty": 0.5, "residual": False},
         (3, 8), (3, 8), 2),
    )  # fmt: skip
    dense_parts = ("dictionary", "output_dictionary")

    @small_search
    @given(
        st.integers(1, 8),
        st.integers(1, 4),
        st.booleans(),
        st.floats(0.01, 0.5),
        st.floats(0, 2),
        st.integers(0, 2**31),
    )
    def test_agrees_with_the_equation(self, dim, ratio, decoupled, step_size, penalty, seed):
        rng = np.random.default_rng(seed)
        layer = OvercompleteISTA(ratio, step_size, penalty, decoupled=decoupled)
        layer.build((None, None, dim))
        layer.set_weights([rng.normal(size=w.shape) / np.sqrt(dim) for w in layer.get_weights()])
        d, *d1 = layer.get_weights()
        x = rng.normal(size=(2, 5, dim)).astype("float32")
        output, codes = oracle.overcomplete_ista(
            x, d, d1[0].T if decoupled else d, step_size, penalty
        )
        assert_close(layer(x), output, atol=2e-5, rtol=1e-5)
        assert_close(layer.sparse_codes(x), codes, atol=2e-5, rtol=1e-5)

    def test_codes_are_sparse_and_non_negative(self, rng):
        layer = OvercompleteISTA()
        x = rng.normal(size=(4, 20, 32)).astype("float32")
        layer.build(x.shape)
        codes = keras.ops.convert_to_numpy(layer.sparse_codes(x))
        assert codes.shape == (4, 20, 128)
        assert (codes >= 0).all() and 0.3 < (codes == 0).mean() < 0.9

    def test_both_dictionaries_start_alike_and_apart(self):
        layer = OvercompleteISTA()
        layer.build((None, 5, 64))
        d, d1 = layer.get_weights()
        bound = np.sqrt(6 / 64)  # He-uniform, with d inputs
        for values in (d, d1):
            assert 0.95 * bound < np.abs(values).max() <= bound
        assert np.abs(d - d1.T).max() > 0.1 * bound

    @pytest.mark.parametrize(
        "arguments", [{"ratio": 0}, {"ratio": 2.5}, {"step_size": 0}, {"penalty": -0.1}]
    )
    def test_refuses_numbers_out_of_range(self, arguments):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
            OvercompleteISTA(**arguments)
