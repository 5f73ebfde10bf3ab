from compare import assert_close
from layer_checks import LayerChecks

from keras_crate.layers import LayerScale


class TestLayerScale(LayerChecks):
    cases = (
        (LayerScale, {"initial_value": 0.5}, (2, 5, 8), (2, 5, 8), 1),
        (LayerScale, {}, (3, 8), (3, 8), 1),
    )

    def test_starts_with_the_initial_value(self, rng):
        x = rng.normal(size=(2, 5, 8)).astype("float32")
        assert_close(LayerScale(0.25)(x), 0.25 * x, atol=1e-7)
