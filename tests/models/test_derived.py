import gc
import weakref

import numpy as np
import pytest

from keras_crate import CRATE, CRATEMAE, CRATEAlpha, interpret, objective
from keras_crate.models.derived import derived

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8}
IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def _model():
    return CRATE(24, 1, 2, classes=5, **SMALL)


@pytest.mark.any_backend
def test_looking_again_compiles_nothing_anew():
    """JAX and TensorFlow would compile each new program at its first call."""
    model, mae = CRATEAlpha(24, 1, 2, classes=5, **SMALL), CRATEMAE(24, 1, 2, **SMALL)
    made = []
    for _ in range(2):
        objective.measure(model, IMAGES)
        objective.measure(model, IMAGES, convention="paper")
        interpret.attention_maps(model, IMAGES)
        interpret.intermediates(model, IMAGES)
        mae.reconstruct(IMAGES, mask_ratio=0.5)
        made.append({**model._derived.made, **mae._derived.made})
    assert len(made[0]) == 7 and made[0].keys() == made[1].keys()
    assert all(made[0][key] is made[1][key] for key in made[0])


def test_changed_weights_are_seen():
    model = _model()
    before = objective.measure(model, IMAGES).coding_rate_mean
    norm = model.get_layer("block_0_norm_1")
    norm.set_weights([w + np.arange(24) for w in norm.get_weights()])
    assert abs(objective.measure(model, IMAGES).coding_rate_mean[0] - before[0]) > 1e-3
    model.quantize("int8")
    rounded = objective.measure(model, IMAGES)
    fresh = type(model).from_config(model.get_config())
    fresh.set_weights(model.get_weights())
    assert rounded.coding_rate_mean == objective.measure(fresh, IMAGES).coding_rate_mean


@pytest.mark.any_backend
def test_few_are_kept_and_go_with_the_model():
    model = _model()
    for _ in range(20):
        derived(model, [object()], object)
    assert len(model._derived.made) == 8
    objective.measure(model, IMAGES)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
