"""`keras.RematScope` around constructors."""

import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEMAE

SMALL = {"dim": 24, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def images(batch=4):
    pixels = np.random.default_rng(1).uniform(0, 255, (batch, 16, 16, 3))
    return pixels.astype("float32")


def test_acts_as_rematerialise(tmp_path):
    losses = []
    for scope in (keras.RematScope(mode=None), keras.RematScope()):
        keras.utils.set_random_seed(3)
        with scope:
            model = CRATE(classes=5, **SMALL)
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        history = model.fit(images(), np.arange(4), epochs=2, shuffle=False, verbose=0)
        losses.append(history.history["loss"])
    assert_close(losses[1], losses[0], atol=1e-5)
    assert losses[0][1] < losses[0][0]
    inside = [layer.name for layer in model.layers if layer._remat_mode]  # Keras' own record
    assert inside == ["block_0_mssa", "block_0_ista"] and model.settings.rematerialise
    model.save(tmp_path / "a.keras")
    assert keras.saving.load_model(tmp_path / "a.keras").settings.rematerialise


@pytest.mark.any_backend
def test_a_masked_autoencoder():
    with keras.RematScope():
        mae = CRATEMAE(**SMALL)
    assert mae.get_layer("block_0_mssa").rematerialise
    assert not CRATE(**SMALL).settings.rematerialise


@pytest.mark.any_backend
def test_what_is_refused():
    with (
        keras.RematScope(mode="larger_than", output_size_threshold=10),
        pytest.raises(ValueError, match=r"mode='larger_than'(.|\n)*`rematerialise=True`"),
    ):
        CRATE(**SMALL)
    with keras.RematScope(), pytest.raises(ValueError, match=r"RematScope` sets the first"):
        CRATE(dropout_rate=0.1, **SMALL)
