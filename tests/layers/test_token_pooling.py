import numpy as np
import pytest
from compare import assert_close
from layer_checks import LayerChecks

from keras_crate.layers import TokenPooling


class TestTokenPooling(LayerChecks):
    cases = (
        (TokenPooling, {}, (2, 5, 6), (2, 6), 0),
        (TokenPooling, {"mode": "avg"}, (2, 5, 6), (2, 6), 0),
    )

    def test_token_is_the_first_and_the_others_are_of_all(self, rng):
        tokens = rng.normal(size=(2, 5, 6)).astype("float32")
        np.testing.assert_array_equal(TokenPooling("token")(tokens), tokens[:, 0])
        assert_close(TokenPooling("avg")(tokens), tokens.mean(axis=1), atol=1e-6)
        np.testing.assert_array_equal(TokenPooling("max")(tokens), tokens.max(axis=1))

    def test_refuses_another_mode(self):
        with pytest.raises(ValueError, match=r"'token', 'avg', 'max'. Received: mode='mean'"):
            TokenPooling("mean")
