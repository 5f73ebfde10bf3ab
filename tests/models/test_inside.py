import numpy as np
import pytest

from keras_crate import CRATE
from keras_crate.models.inside import Inside, first_broken_layer
from keras_crate.models.view_of import view_of

pytestmark = pytest.mark.any_backend


def _model():
    return CRATE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)


def _images():
    return np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def _run(model):
    return list(Inside(view_of(model), model.output)(_images(), batch_size=2))


def test_the_first_broken_layer_is_named():
    model = _model()
    assert first_broken_layer(model, _images()) is None
    bias = model.get_layer("block_1_mssa").output_projection.bias
    bias.assign(np.full(24, np.nan))
    number = model.layers.index(model.get_layer("block_1_mssa"))  # the input is not counted
    said = (
        f"the output of layer 'block_1_mssa' ({number} of {len(model.layers) - 1}; "
        f"its weights ['{bias.path}'] are not finite)"
    )
    assert first_broken_layer(model, _images()) == said
    with pytest.raises(ValueError) as caught:
        _run(model)
    assert str(caught.value) == (
        f"Activations are NaN or infinite, first in {said}. Load an earlier checkpoint, or train "
        "with a lower learning rate."
    )


def test_without_a_broken_layer_only_the_values_are_told(monkeypatch):
    """In half precision, what a part computes may overflow though no layer's output does."""
    monkeypatch.setattr("keras_crate.models.inside.first_broken_layer", lambda *_: None)
    model = _model()
    model.get_layer("head").kernel.assign(np.full((24, 5), np.inf))
    with pytest.raises(ValueError, match=r"NaN or infinite\. Load an earlier"):
        _run(model)
