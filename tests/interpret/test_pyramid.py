import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEAlpha
from keras_crate.interpret import feature_pyramid, intermediates


def test_maps_of_blocks_by_name_that_save_and_train(tmp_path, rng):
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    model = CRATEAlpha(24, 5, 2, input_shape=(32, 32, 3), patch_size=8, classes=5)
    pyramid = feature_pyramid(model)
    assert list(pyramid.output) == ["block_1", "block_2", "block_3", "block_4"]
    pyramid = feature_pyramid(model, [0, -1], scales=[2, 0.5])
    found = pyramid.predict(images, verbose=0)
    assert found["block_0"].shape == (2, 8, 8, 24) and found["block_4"].shape == (2, 2, 2, 24)
    plain = feature_pyramid(model, [4]).predict(images, verbose=0)
    (expected,) = intermediates(model, images, [4], what="map")
    assert_close(plain["block_4"], expected, atol=1e-5)
    pyramid.save(tmp_path / "pyramid.keras")
    loaded = keras.saving.load_model(tmp_path / "pyramid.keras")
    assert_close(loaded.predict(images, verbose=0)["block_4"], found["block_4"], atol=1e-5)
    assert len(pyramid.trainable_variables) > 40
    np.testing.assert_array_equal(
        [v.path for v in feature_pyramid(model, [4]).variables][:3],
        [v.path for v in model.variables][:3],
    )


def test_refusals():
    model = CRATE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=5)
    with pytest.raises(ValueError, match=r"one number for each. .*scales=\[1\]"):
        feature_pyramid(model, scales=[1])
    with pytest.raises(ValueError, match=r"whole rows and columns.*0.3 for 4 rows"):
        feature_pyramid(model, [0], scales=[0.3])
    with pytest.raises(ValueError, match="`layers` must be different blocks"):
        feature_pyramid(model, [1, -1])
    with pytest.raises(ValueError, match="numbers 0, 1"):
        feature_pyramid(model, [2])
