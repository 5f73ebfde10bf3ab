import keras
import numpy as np
import pytest
from compare import assert_close
from layer_checks import LayerChecks

from keras_crate.layers import ConvolutionalStem


class TestConvolutionalStem(LayerChecks):
    cases = (
        (ConvolutionalStem, {"dim": 6, "patch_size": 4}, (2, 8, 12, 3), (2, 6, 6), 6),
        (
            ConvolutionalStem,
            {"dim": 4, "patch_size": (2, 4), "data_format": "channels_first"},
            (2, 1, 4, 8),
            (2, 4, 4),
            6,
        ),
        (
            ConvolutionalStem,
            {"dim": 6, "patch_size": 2, "folded_norm": True},
            (2, 4, 2, 3),
            (2, 2, 6),
            2,
        ),
    )

    def test_agrees_with_a_loop_over_pixels(self, rng):
        images = rng.normal(size=(2, 4, 6, 3)).astype("float32")
        layer = ConvolutionalStem(5, 2)
        layer.build(images.shape)
        layer.set_weights([rng.uniform(0.5, 2, size=w.shape) for w in layer.get_weights()])
        kernel, gamma, beta, mean, variance = layer.get_weights()
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        tokens = [
            np.einsum("bijc,ijcd->bd", padded[:, row : row + 3, column : column + 3], kernel)
            for row in range(0, 4, 2)
            for column in range(0, 6, 2)
        ]
        expected = (np.stack(tokens, axis=1) - mean) / np.sqrt(variance + 1e-5) * gamma + beta
        assert_close(layer(images), expected, atol=2e-5)

    def test_training_updates_the_running_statistics(self, rng):
        images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
        layer = ConvolutionalStem(6, 2)
        layer(images, training=False)
        convolved = layer(images)  # the running statistics are still 0 and 1
        mean = keras.ops.convert_to_numpy(convolved).mean(axis=(0, 1)) * np.sqrt(1 + 1e-5)
        outputs = keras.ops.convert_to_numpy(layer(images, training=True))
        assert_close(outputs.mean(axis=(0, 1)), np.zeros(6), atol=1e-5)
        assert_close(outputs.std(axis=(0, 1)), np.ones(6), atol=1e-3)
        assert_close(layer.norm_0.moving_mean, 0.1 * mean, atol=1e-5)

    @pytest.mark.any_backend
    @pytest.mark.parametrize(
        ("dim", "patch_size", "message"),
        [
            (8, 6, r"must be powers of 2, from 2. Received: patch_size=6"),
            (8, (4, 1), r"must be powers of 2, from 2. Received: patch_size=\(4, 1\)"),
            (6, 8, r"divisible by 4: the 3 convolutions of patch_size=8 .*dim=6"),
            (8, 0, r"`patch_size` must be a positive integer or a pair"),
        ],
    )
    def test_refuses_patches_that_it_cannot_halve(self, dim, patch_size, message):
        with pytest.raises(ValueError, match=message):
            ConvolutionalStem(dim, patch_size)

    @pytest.mark.any_backend
    def test_refuses_an_image_the_patches_do_not_tile(self):
        with pytest.raises(ValueError, match=r"height must be divisible.*height 10"):
            ConvolutionalStem(8, 8).build((None, 10, 16, 3))
