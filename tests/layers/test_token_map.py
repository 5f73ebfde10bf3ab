import keras
import numpy as np
import pytest
from compare import assert_close
from layer_checks import gradients

from keras_crate.layers import TokenMap


def test_lays_out_the_patches_row_by_row(rng):
    tokens = rng.normal(size=(2, 7, 4)).astype("float32")
    maps = keras.ops.convert_to_numpy(TokenMap((2, 3))(tokens))
    assert_close(maps[:, 1, 2], tokens[:, 1 + 3 + 2], atol=0)
    assert maps.shape == (2, 2, 3, 4)


def test_scales(rng):
    tokens = rng.normal(size=(2, 17, 4)).astype("float32")
    finer, coarser = TokenMap((4, 4), 2), TokenMap((4, 4), 0.5)
    assert finer(tokens).shape == (2, 8, 8, 4) == finer.compute_output_shape((2, 17, 4))
    flat = np.ones_like(tokens)
    assert_close(coarser(flat), np.ones((2, 2, 2, 4)), atol=1e-6)
    again = TokenMap.from_config(coarser.get_config())
    assert_close(again(tokens), coarser(tokens), atol=0)
    (gradient,) = gradients(lambda x: keras.ops.sum(finer(x)), tokens)
    assert_close(gradient[:, 1:].sum(), 2 * 8 * 8 * 4, atol=1e-3)  # each pixel is a mean of tokens
    assert_close(gradient[:, 0], np.zeros((2, 4)), atol=0)
    half = TokenMap((4, 4), 2, dtype="mixed_bfloat16")(tokens)
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others compile all of it")
def test_larger_maps_compile_by_xla_and_smaller_ones_ask_for_no_compilation(rng):
    import tensorflow as tf

    tokens = rng.normal(size=(2, 17, 4)).astype("float32")
    finer, coarser = TokenMap((4, 4), 2), TokenMap((4, 4), 0.5)
    compiled = tf.function(finer, jit_compile=True)(tokens)
    antialiased = keras.ops.image.resize(
        tokens[:, 1:].reshape(2, 4, 4, 4), (8, 8), antialias=True, data_format="channels_last"
    )
    assert_close(compiled, antialiased, atol=1e-6)
    assert finer.supports_jit and not coarser.supports_jit


def test_refuses_scales_that_give_no_whole_map():
    with pytest.raises(ValueError, match=r"whole rows and columns. Received: scale=0.3"):
        TokenMap((4, 4), 0.3)
    for scale in (0, "2"):
        with pytest.raises(ValueError, match="`scale` must be a number above 0"):
            TokenMap((4, 4), scale)
