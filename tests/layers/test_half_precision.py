"""float16 has numbers from 6e-8 to 65,504: bounds, squares and products must not leave them."""

import keras
import numpy as np
import pytest
from compare import assert_close
from layer_checks import gradients

from keras_crate import CRATEMAE
from keras_crate.layers import (
    CBSA,
    ISTA,
    MSSA,
    TSSA,
    ConvolutionalStem,
    OvercompleteISTA,
    PatchEmbedding,
)

TOKENS = (1, 17, 8)
LAYERS = {
    "mssa": (MSSA, {"heads": 2}, TOKENS),
    "tssa": (TSSA, {"heads": 2}, TOKENS),
    "cbsa": (CBSA, {"heads": 2, "representatives": 2}, TOKENS),
    "ista": (ISTA, {}, TOKENS),
    "overcomplete_ista": (OvercompleteISTA, {}, TOKENS),
    "patch_embedding": (PatchEmbedding, {"dim": 8, "patch_size": 4}, (1, 8, 8, 3)),
    "stem": (ConvolutionalStem, {"dim": 8, "patch_size": 4}, (1, 8, 8, 3)),
}
SCALES = (0.0, 6e-8, 1e3)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.any_backend if LAYERS[n][2] != TOKENS else ())
        for n in LAYERS
    ],
)
def test_zeros_tiny_and_large_inputs_in_float16(name, rng):
    layer_class, arguments, shape = LAYERS[name]
    exact, half = layer_class(**arguments), layer_class(**arguments, dtype="float16")
    for layer in (exact, half):
        layer.build(shape)
    half.set_weights(exact.get_weights())
    for scale in SCALES:
        x = (scale * rng.normal(size=shape)).astype("float16").astype("float32")
        # Operators of compression choose another form in training.
        options = {"training": True} if name in ("mssa", "ista") else {}

        def total(inputs, options=options):
            outputs = half(keras.ops.cast(inputs, "float16"), **options)
            return keras.ops.mean(keras.ops.cast(outputs, "float32"))

        found = keras.ops.convert_to_numpy(half(keras.ops.cast(x, "float16")))
        assert np.isfinite(found).all(), scale
        (gradient,) = gradients(total, x)
        assert np.isfinite(gradient).all(), scale
        if scale < 1:
            assert_close(found.astype("float32"), exact(x), atol=0.02)


def test_patches_of_one_colour_have_a_finite_loss():
    model = CRATEMAE(
        8, 1, 2, input_shape=(8, 8, 3), patch_size=4, norm_pix_loss=True, dtype="float16"
    )
    images = np.full((2, 8, 8, 3), 255, "float32")
    loss = model.compute_loss(images, y_pred=model(images))
    assert np.isfinite(keras.ops.convert_to_numpy(loss))
