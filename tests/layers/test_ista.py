import keras
import numpy as np
import oracle
import pytest
from compare import assert_close
from hypothesis import given
from hypothesis import strategies as st
from layer_checks import AdaptableLayerChecks, gradients, small_search

from keras_crate.layers import ISTA


def _layer(dim, rng, **arguments):
    layer = ISTA(**arguments)
    layer.build((None, None, dim))
    layer.set_weights([rng.normal(size=(dim, dim)) / np.sqrt(dim)])
    return layer


class TestISTA(AdaptableLayerChecks):
    cases = (
        (ISTA, {}, (2, 5, 8), (2, 5, 8), 1),
        (ISTA, {"step_size": 0.2, "penalty": 0.5}, (4, 5, 8), (4, 5, 8), 1),
        (ISTA, {"dictionary_initializer": "orthogonal"}, (3, 8), (3, 8), 1),
    )
    dense_parts = ("dictionary",)

    @small_search
    @given(
        st.integers(1, 12),
        st.integers(1, 24),
        st.floats(0.01, 0.5),
        st.floats(0, 2),
        st.integers(0, 2**31),
    )
    def test_agrees_with_the_equation(self, dim, tokens, step_size, penalty, seed):
        rng = np.random.default_rng(seed)
        layer = _layer(dim, rng, step_size=step_size, penalty=penalty)
        x = rng.normal(size=(1, tokens, dim)).astype("float32")
        expected = oracle.ista(x, layer.get_weights()[0], step_size, penalty)
        assert_close(layer(x), expected, atol=2e-5)

    def test_both_forms_agree_with_three_products(self, rng):
        layer = _layer(16, rng)
        d = keras.ops.convert_to_tensor(layer.get_weights()[0])
        x = rng.normal(size=(4, 10, 16)).astype("float32")
        expected = oracle.ista(x, layer.get_weights()[0])
        for form in (layer._one_product, layer._two_products):
            output = keras.ops.relu(form(keras.ops.convert_to_tensor(x), d) - 0.01)
            assert_close(output, expected, atol=1e-5)

    @pytest.mark.parametrize(("batch", "folds"), [(1, False), (2, False), (3, True)])
    def test_folds_when_the_batch_has_more_tokens_than_the_width(
        self, batch, folds, rng, monkeypatch
    ):
        layer = _layer(16, rng)
        called = []
        monkeypatch.setattr(layer, "_one_product", lambda x, *_: called.append(True) or x)
        monkeypatch.setattr(layer, "_two_products", lambda x, *_: called.append(False) or x)
        layer(np.zeros((batch, 8, 16), "float32"))
        assert called == [folds]

    @pytest.mark.parametrize("batch", [1, 5])
    def test_unknown_batch_size(self, batch, rng):
        """Few tokens and many through one graph, which must choose as it runs."""
        layer = _layer(16, rng)
        tokens = keras.Input((8, 16))
        model = keras.Model(tokens, layer(tokens))
        x = rng.normal(size=(batch, 8, 16)).astype("float32")
        expected = oracle.ista(x, layer.get_weights()[0])
        assert_close(model.predict(x, verbose=0), expected, atol=1e-5)

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("form", ["_one_product", "_two_products"])
    def test_gradients_are_those_of_three_products(self, form, training, rng):
        layer = _layer(16, rng)
        x, g = (rng.normal(size=(1, 40, 16)).astype("float32") for _ in range(2))
        d = layer.get_weights()[0]

        def loss(x, d):
            y = keras.ops.relu(getattr(layer, form)(x, d, training) - 0.01)
            return keras.ops.sum(y * keras.ops.convert_to_tensor(g))

        expected = oracle.ista_gradients(x[0], d, g[0])
        for found, reference in zip(gradients(loss, x, d), expected, strict=True):
            reference = reference.reshape(found.shape)
            assert_close(found, reference, atol=1e-5 * np.abs(reference).max())

    @pytest.mark.parametrize(("tokens", "folds"), [(10, False), (11, True)])
    def test_folds_earlier_in_training(self, tokens, folds, rng, monkeypatch):
        layer = _layer(16, rng)
        called = []
        monkeypatch.setattr(layer, "_one_product", lambda x, *_: called.append(True) or x)
        monkeypatch.setattr(layer, "_two_products", lambda x, *_: called.append(False) or x)
        layer(np.zeros((1, tokens, 16), "float32"), training=True)
        assert called == [folds]

    def test_output_is_sparse(self, rng):
        layer = ISTA()
        output = layer(rng.normal(size=(4, 20, 32)).astype("float32"))
        output = keras.ops.convert_to_numpy(output)
        assert (output >= 0).all() and 0.3 < (output == 0).mean() < 0.9

    def test_initial_dictionary_is_he_uniform(self):
        layer = ISTA()
        layer.build((None, 5, 256))
        bound = np.sqrt(6 / 256)
        values = layer.get_weights()[0]
        assert 0.95 * bound < np.abs(values).max() <= bound

    @pytest.mark.parametrize("arguments", [{"step_size": 0}, {"step_size": -1}, {"penalty": -0.1}])
    def test_refuses_numbers_out_of_range(self, arguments):
        (name,) = arguments
        with pytest.raises(ValueError, match=f"`{name}` must be .*Received: {name}="):
            ISTA(**arguments)
