import keras
import numpy as np
import oracle
import pytest
from compare import assert_close
from layer_checks import AdaptableLayerChecks

from keras_crate.layers import PatchEmbedding


class TestPatchEmbedding(AdaptableLayerChecks):
    cases = (
        (PatchEmbedding, {"dim": 6, "patch_size": 4}, (2, 8, 12, 3), (2, 6, 6), 6),
        (PatchEmbedding, {"dim": 6, "patch_size": (2, 4)}, (2, 4, 8, 1), (2, 4, 6), 6),
        (
            PatchEmbedding,
            {"dim": 6, "patch_size": 4, "data_format": "channels_first"},
            (2, 3, 8, 12),
            (2, 6, 6),
            6,
        ),
    )
    dense_parts = ("projection",)

    def test_agrees_with_a_loop_over_patches(self, rng):
        images = rng.normal(size=(2, 6, 8, 3)).astype("float32")
        layer = PatchEmbedding(5, (3, 2))
        layer.build(images.shape)
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
        gamma, beta, kernel, bias, gamma_2, beta_2 = layer.get_weights()
        tokens = [
            images[:, row : row + 3, column : column + 2].reshape(2, -1)
            for row in range(0, 6, 3)
            for column in range(0, 8, 2)
        ]
        mapped = oracle.layer_norm(np.stack(tokens, axis=1), gamma, beta) @ kernel + bias
        assert_close(layer(images), oracle.layer_norm(mapped, gamma_2, beta_2), atol=2e-5)

    def test_channels_first_gives_the_same_tokens(self, rng):
        images = rng.normal(size=(2, 8, 12, 3)).astype("float32")
        last = PatchEmbedding(6, 4)
        expected = last(images)
        first = PatchEmbedding(6, 4, data_format="channels_first")
        first.build((2, 3, 8, 12))
        first.set_weights(last.get_weights())
        assert_close(first(images.transpose(0, 3, 1, 2)), expected, atol=1e-6)

    def test_follows_the_configured_data_format(self):
        keras.config.set_image_data_format("channels_first")
        assert PatchEmbedding(6, 4).data_format == "channels_first"

    @pytest.mark.parametrize("side", ["height", "width"])
    def test_refuses_an_image_the_patches_do_not_tile(self, side):
        shape = {"height": (None, 30, 32, 3), "width": (None, 32, 30, 3)}[side]
        with pytest.raises(ValueError, match=rf"{side} must be divisible.*{side} 30.*{side} 32"):
            PatchEmbedding(6, 8).build(shape)

    @pytest.mark.parametrize("patch_size", [0, -4, (4,), (4, 4, 4), 4.0, "4", None])
    def test_refuses_another_patch_size(self, patch_size):
        with pytest.raises(ValueError, match=r"`patch_size` must be.*Received"):
            PatchEmbedding(6, patch_size)

    def test_refuses_another_rank_and_format(self):
        with pytest.raises(ValueError, match="expected ndim=4, found ndim=3"):
            PatchEmbedding(6, 4)(np.zeros((2, 8, 3)))
        with pytest.raises(ValueError, match="`data_format`"):
            PatchEmbedding(6, 4, data_format="NHWC")
