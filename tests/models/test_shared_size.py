import keras
import numpy as np
from keras import ops

import keras_crate
from keras_crate.models.shared_size import share_at_size


def _encoder():
    return keras_crate.CRATE(
        24, 2, 2, input_shape=(32, 32, 3), patch_size=8, include_top=False, drop_path_rate=0.2
    )


def test_it_is_the_model_with_another_input_shape(rng):
    encoder = _encoder()
    small = share_at_size(encoder, (16, 24, 3))
    images = rng.uniform(0, 255, (2, 16, 24, 3))
    expected = encoder.with_input_shape((16, 24, 3))(images)
    np.testing.assert_allclose(
        ops.convert_to_numpy(small(images)), ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-5
    )


def test_training_it_trains_the_model(rng):
    """Every weight, the positions included."""
    encoder = _encoder()
    before = encoder.get_weights()
    small = share_at_size(encoder, (16, 16, 3))
    assert {id(w) for w in small.trainable_variables} == {
        id(w) for w in encoder.trainable_variables
    }
    small.compile("sgd", "mse")
    small.fit(rng.uniform(0, 255, (4, 16, 16, 3)), rng.normal(size=(4, 24)), verbose=0)
    for old, new, weight in zip(before, encoder.get_weights(), encoder.weights, strict=True):
        assert not np.array_equal(old, new), weight.path


def test_of_another_package(rng):
    layers = keras.layers
    encoder = keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()]
    )
    small = share_at_size(encoder, (16, 16, 3))
    assert small.weights[0] is encoder.weights[0]
    assert small(rng.uniform(size=(2, 16, 16, 3))).shape == (2, 4)
