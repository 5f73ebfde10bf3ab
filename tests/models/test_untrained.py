import numpy as np
import pytest

from keras_crate import CRATE
from keras_crate.models.untrained import is_untrained

pytestmark = pytest.mark.any_backend


def _model():
    return CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)


def test_a_new_model_is_untrained():
    assert is_untrained(_model())


@pytest.mark.parametrize("weight", ["gamma", "beta"])
@pytest.mark.parametrize("layer", ["block_0_norm_1", "head_norm"])
def test_one_step_of_one_normalisation_makes_it_trained(layer, weight):
    model = _model()
    values = getattr(model.get_layer(layer), weight)
    values.assign(np.array(values) + 1e-3 * np.eye(24)[5])
    assert not is_untrained(model)
