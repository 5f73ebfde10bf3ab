import keras
import numpy as np
import pytest
from keras.src.testing import TestCase

from keras_crate.layers import PatchMasking, PatchNoise


def test_hides_the_patches_of_the_largest_numbers(rng):
    tokens = rng.normal(size=(3, 8, 4)).astype("float32")
    noise = rng.uniform(size=(3, 8)).astype("float32")
    layer = PatchMasking(0.75, token_initializer="ones")
    hidden, mask = map(keras.ops.convert_to_numpy, layer(tokens, noise))
    expected = noise > np.sort(noise, axis=1)[:, [1]]  # 2 of 8 are kept
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(hidden[~expected], tokens[~expected])
    np.testing.assert_array_equal(hidden[expected], 1)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(policy, rng):
    layer = PatchMasking(0.5, dtype=policy)
    hidden, mask = layer(rng.normal(size=(2, 4, 4)), rng.uniform(size=(2, 4)))
    assert keras.backend.standardize_dtype(hidden.dtype) == layer.compute_dtype
    assert keras.backend.standardize_dtype(mask.dtype) == "float32"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_ranks_are_those_of_the_given_numbers_in_half_precision(policy):
    noise = np.linspace(0.5, 0.501, 64, dtype="float32")[::-1].reshape(1, 64)
    assert PatchNoise(dtype=policy)(np.zeros((1, 4, 2))).dtype == keras.ops.ones(1).dtype
    _, mask = PatchMasking(0.5, dtype=policy)(np.zeros((1, 64, 2), "float32"), noise)
    mask = keras.ops.convert_to_numpy(keras.ops.cast(mask, "float32"))
    np.testing.assert_array_equal(mask[0], np.arange(64) < 32)


def test_same_seed_same_noise():
    tokens = np.zeros((2, 5, 3), "float32")
    first, again, other = (
        [keras.ops.convert_to_numpy(layer(tokens)) for _ in range(2)]
        for layer in (
            PatchNoise(seed=1),
            PatchNoise.from_config(PatchNoise(seed=np.int64(1)).get_config()),
            PatchNoise(seed=2),
        )
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first[0] - first[1]).max() > 0.01  # other numbers at each call
    assert np.abs(first[0] - other[0]).max() > 0.01
    assert np.min(first) >= 0 and np.max(first) < 1


def test_keras_own_layer_check():
    TestCase().run_layer_test(
        PatchNoise,
        init_kwargs={"seed": 3},
        input_shape=(2, 5, 3),
        expected_output_shape=(2, 5),
        expected_num_seed_generators=1,
        run_training_check=False,
        run_mixed_precision_check=False,
    )


def test_refuses_a_ratio_out_of_range():
    with pytest.raises(ValueError, match=r"`ratio` must be in \[0, 1\). Received: ratio=1"):
        PatchMasking(1)
