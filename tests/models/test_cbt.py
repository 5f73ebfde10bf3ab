import keras
import numpy as np
import pytest
from authors import golden, images_of, load_cbt_state, state_of
from compare import assert_close, outputs
from disturb import disturb
from family import FamilyChecks
from marks import COMPILES_LONG

import keras_crate
from keras_crate import CBT, CRATE, interpret
from keras_crate.layers import CBSA

_GOLDEN = {
    "cbt_micro": {
        "dim": 64,
        "depth": 2,
        "heads": 4,
        "input_shape": (160, 160, 3),
        "patch_size": 16,
        "classes": 11,
    },
    "cbt_patch8_micro": {
        "dim": 32,
        "depth": 2,
        "heads": 2,
        "input_shape": (48, 48, 3),
        "patch_size": 8,
        "classes": 7,
    },
}


class TestCBT(FamilyChecks):
    operators = ("block_0_cbsa", "block_0_ista")
    bigger = {"dim": 32}
    parameter_counts = (
        ("CBTTiny", {}, 1_789_192),
        ("CBTSmall", {}, 6_667_048),
        ("CBTBase", {}, 25_691_752),
        ("CBTLarge", {}, 83_051_368),
    )
    golden_cases = tuple(_GOLDEN.items())

    def build(self, **overrides):
        small = {
            "dim": 24,
            "depth": 2,
            "heads": 2,
            "input_shape": (16, 16, 3),
            "patch_size": 8,
            "classes": 5,
        }
        return CBT(**{**small, **overrides})

    def load_authors_state(self, model, state):
        load_cbt_state(model, state)

    def test_the_attention_that_the_authors_draw(self):
        for name, arguments in _GOLDEN.items():
            arrays = golden(name)
            model = self.build(include_preprocessing=False, **arguments)
            load_cbt_state(model, state_of(arrays))
            found = interpret.attention_maps(model, images_of(arrays), token=None)
            assert_close(found, arrays["attention_last"], atol=2e-5)


def _crate(**options):
    small = {"input_shape": (16, 24, 3), "patch_size": 8, "classes": 5}
    return CRATE(24, 2, 2, classifier_activation=None, **small, **options)


def _images(batch=8):
    return np.random.default_rng(1).uniform(0, 255, (batch, 16, 24, 3)).astype("float32")


@pytest.mark.parametrize("compress", ["cbsa", pytest.param("tssa", marks=COMPILES_LONG)])
@pytest.mark.parametrize("stem", ["linear", "convolution"])
def test_stems_and_operators_build_train_save_and_fuse(stem, compress, tmp_path):
    model = disturb(_crate(stem=stem, compress=compress))
    before = model.get_weights()
    model.compile("lion", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(_images(), np.arange(8) % 5, verbose=0)
    after = model.get_weights()
    assert all((a != b).any() for a, b in zip(before, after, strict=True))  # statistics too
    images = _images()
    expected = outputs(model, images)
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_array_equal(outputs(again, images), expected)
    other = _crate(stem=stem, compress=compress, weights=tmp_path / "a.keras")
    np.testing.assert_array_equal(outputs(other, images), expected)
    fused = keras_crate.fuse(model)
    assert not [w.path for w in fused.weights if "moving" in w.path]
    assert_close(outputs(fused, images), expected, atol=1e-5 * np.abs(expected).max())


def test_a_crate_of_its_parts_is_a_cbt():
    crate = disturb(_crate(stem="convolution", compress="cbsa"))
    arguments = {k: getattr(crate.settings, k) for k in ("input_shape", "patch_size", "classes")}
    cbt = CBT(24, 2, 2, classifier_activation=None, **arguments)
    assert [x.name for x in cbt.layers] == [x.name for x in crate.layers]
    cbt.set_weights(crate.get_weights())
    images = _images()
    expected = crate.predict(images, verbose=0)
    np.testing.assert_array_equal(cbt.predict(images, verbose=0), expected)


@pytest.mark.any_backend
def test_operators_get_the_models_grid():
    for compress in ("cbsa", CBSA, CBSA(2, representatives=(2, 3)), CBSA(2, grid=(7, 7))):
        model = _crate(compress=compress)
        assert model.get_layer("block_0_cbsa").grid == (2, 3)
        larger = model.with_input_shape((32, 24, 3))
        assert larger.get_layer("block_1_cbsa").grid == (4, 3)
        again = CRATE.from_config(larger.get_config())
        assert again.get_layer("block_1_cbsa").grid == (4, 3)
    assert model.get_layer("block_0_cbsa").representatives == (8, 8)


def test_frozen_statistics_do_not_change():
    model = _crate(stem="convolution")
    stem = model.get_layer("patch_embedding")
    stem.trainable = False
    before = stem.get_weights()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(_images(), np.arange(8) % 5, verbose=0)
    for old, new in zip(before, stem.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_rollout_is_a_share_of_each_patch():
    model = TestCBT().build(input_shape=(32, 32, 3))
    heat = interpret.rollout(model, TestCBT().images(shape=(32, 32, 3)))
    assert heat.shape == (3, 4, 4) and heat.min() >= 0
    assert (heat.sum(axis=(1, 2)) < 1).all()  # the rest is the class token's


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 12, "input_shape": (24, 24, 3)}, r"must be powers of 2.*patch_size=\(12"),
        ({"dim": 18, "heads": 2}, r"`dim` must be divisible by 4.*dim=18"),
        ({"representatives": 0}, r"`representatives` must be a positive integer or a pair"),
    ],
)
def test_refuses_what_the_stem_and_the_attention_cannot_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        TestCBT().build(**arguments)


@pytest.mark.any_backend
def test_refuses_an_unknown_stem():
    with pytest.raises(ValueError, match=r"`stem` must be .*'conv'"):
        _crate(stem="conv")


@pytest.mark.any_backend
def test_a_file_with_other_representatives_warns(tmp_path):
    TestCBT().build(representatives=4).save(tmp_path / "a.keras")
    with pytest.warns(UserWarning, match=r"representatives=\[4, 4\] there and \[8, 8\] here"):
        TestCBT().build(weights=tmp_path / "a.keras")
    _crate(compress=CBSA(2, 4)).save(tmp_path / "b.keras")
    with pytest.warns(UserWarning, match="made with other settings: compress="):
        _crate(compress=CBSA(2), weights=tmp_path / "b.keras")
