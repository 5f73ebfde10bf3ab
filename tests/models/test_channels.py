"""Models for images with other channels: each sees a mixture that the tests write down."""

import numpy as np
import pytest
from compare import assert_close
from disturb import disturb

from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha, fuse, hub

pytestmark = pytest.mark.any_backend
THIRD, HALF = 1 / 3, 1 / 2
# What each of three old channels sees in the new ones.
SEEN = {
    ("average", 1): [[1], [1], [1]],
    ("repeat", 1): [[1], [1], [1]],
    ("average", 2): [[HALF, HALF]] * 3,
    ("repeat", 2): [[1, 0], [0, 1], [1, 0]],
    ("average", 4): [[1 / 4] * 4] * 3,
    ("repeat", 4): [[HALF, 0, 0, HALF], [0, 1, 0, 0], [0, 0, 1, 0]],
}
# What each new channel is made of, for `mean`, `std` and predicted pixels.
MADE_OF = {
    ("average", 1): [[THIRD, THIRD, THIRD]],
    ("repeat", 1): [[THIRD, THIRD, THIRD]],
    ("average", 2): [[THIRD, THIRD, THIRD]] * 2,
    ("repeat", 2): [[HALF, 0, HALF], [0, 1, 0]],
    ("average", 4): [[THIRD, THIRD, THIRD]] * 4,
    ("repeat", 4): [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]],
}
SMALL = {"input_shape": (16, 24, 3), "patch_size": (8, 4)}
STATISTICS = {"mean": [0.2, 0.4, 0.6], "std": [0.2, 0.3, 0.5]}


def _images(channels):
    shape = (2, 16, 24, channels)
    return np.random.default_rng(0).uniform(0, 255, shape).astype("float32")


@pytest.mark.parametrize(("how", "channels"), SEEN)
def test_linear_patch_embeddings_see_the_mixture_exactly(how, channels):
    seen, made_of = np.array(SEEN[how, channels]), np.array(MADE_OF[how, channels])
    images = _images(channels)
    mixed = images @ seen.T
    mae = disturb(CRATEMAE(24, 1, 2, **SMALL, **STATISTICS))
    models = (
        disturb(CRATEAlpha(24, 1, 2, classes=3, **SMALL, **STATISTICS)),
        disturb(CRATEAlpha(24, 1, 2, classes=3, include_preprocessing=False, **SMALL)),
        mae.encoder(),
    )
    for model in models:
        new = model.with_input_shape((16, 24, channels), channels=how)
        assert_close(new.predict(images, verbose=0), model.predict(mixed, verbose=0), atol=2e-5)
    assert_close(new.settings.mean, made_of @ STATISTICS["mean"], atol=1e-6)

    new = mae.with_input_shape((16, 24, channels), channels=how)
    noise = np.random.default_rng(1).uniform(size=(2, 12))
    given, expected = new.predict_with_noise(images, noise), mae.predict_with_noise(mixed, noise)
    assert_close(given["latent"], expected["latent"], atol=2e-5)
    old_pixels = expected["patches"].reshape(2, 12, 32, 3) * mae.settings.std + mae.settings.mean
    pixels = given["patches"].reshape(2, 12, 32, channels) * new.settings.std + new.settings.mean
    assert_close(pixels, old_pixels @ made_of.T, atol=2e-5)


def _crate(family=CRATE, **options):
    return disturb(family(24, 1, 2, **{"classes": 3, **SMALL, **options}))


@pytest.mark.parametrize("family", [CRATE, CBT])
def test_a_model_that_normalises_patches_or_pads_images_sees_copies_exactly(family):
    alike = _crate(family, mean=0.4, std=0.2)
    image = _images(1)
    for how in ("average", "repeat"):
        grey = alike.with_input_shape((16, 24, 1), channels=how)
        expected = alike.predict(np.repeat(image, 3, axis=-1), verbose=0)
        assert_close(grey.predict(image, verbose=0), expected, atol=2e-5)
    model, three = _crate(family, **STATISTICS), _images(3)
    twice = np.concatenate([three, three], axis=-1)
    six = model.with_input_shape((16, 24, 6), channels="repeat")
    assert_close(six.predict(twice, verbose=0), model.predict(three, verbose=0), atol=2e-5)
    grey = model.with_input_shape((16, 24, 1), channels="average")
    normalised = (image / 255 - grey.settings.mean) / grey.settings.std
    tinted = 255 * (normalised * STATISTICS["std"] + STATISTICS["mean"])
    assert_close(grey.predict(image, verbose=0), model.predict(tinted, verbose=0), atol=2e-5)


def test_channels_first_and_another_size():
    first = _crate(data_format="channels_first", input_shape=(3, 16, 24), mean=0.4, std=0.2)
    with pytest.raises(ValueError, match=r"for 3 channels.*Pass channels=\"average\""):
        first.with_input_shape((1, 16, 24))
    grey = first.with_input_shape((1, 32, 24), channels="repeat")
    assert grey.predict(np.zeros((1, 1, 32, 24)), verbose=0).shape == (1, 3)
    assert first.with_input_shape((3, 32, 24), channels="average").settings.mean == 0.4


def test_fused_and_quantised_models_are_refused():
    quantised = _crate()
    quantised.quantize("int8")
    for model, word in ((fuse(_crate()), "fused"), (quantised, "quantised")):
        with pytest.raises(ValueError, match=f"a {word} model. Change them before"):
            model.with_input_shape((16, 24, 1), channels="average")
    with pytest.raises(ValueError, match=r"`channels` must be one of 'average'.*'mean'"):
        _crate().with_input_shape((16, 24, 1), channels="mean")


@pytest.mark.parametrize("ending", [".keras", ".weights.h5", ".safetensors"])
def test_weights_for_other_channels_are_refused_by_that_name(ending, tmp_path):
    model, file = _crate(**STATISTICS), tmp_path / f"a{ending}"
    if ending == ".keras":
        model.save(file)
    elif ending == ".weights.h5":
        model.save_weights(file)
    else:
        hub.to_pytorch(model, file)
    with pytest.raises(ValueError, match=r"are for images with 3 channels. This model's images"):
        CRATE(24, 1, 2, classes=3, weights=file, **{**SMALL, "input_shape": (16, 24, 1)})
