import keras
import numpy as np
import oracle
import pytest
from compare import assert_close, outputs
from disturb import disturb

import keras_crate
from keras_crate import CRATE, CRATEMAE, CRATEAlpha, fuse
from keras_crate.layers import ISTA, MSSA, TSSA, FusedISTA
from keras_crate.layers.folded_norm import FoldedNorm, FusedMSSA, FusedTSSA
from keras_crate.models.fuse import _fold

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 5}


def _model(**options):
    return CRATE(24, 2, 3, classifier_activation=None, **{**SMALL, **options})


def _images(shape=(3, 16, 16, 3)):
    return np.random.default_rng(1).uniform(0, 255, shape).astype("float32")


def _assert_same_function(model):
    images = _images()
    expected = model.predict(images, verbose=0)
    fused = fuse(model)
    found = fused.predict(images, verbose=0)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    return fused


def test_ista_is_one_dense_layer_of_fewer_parameters():
    model = disturb(_model())
    fused = _assert_same_function(model)
    layer = fused.get_layer("block_1_ista")
    assert type(layer) is FusedISTA and isinstance(layer, keras.layers.Dense)
    d = model.get_layer("block_1_ista").get_weights()[0].astype("float64")
    gamma, beta = model.get_layer("block_1_norm_2").get_weights()
    step = np.eye(24) + 0.1 * (d - d.T @ d)
    assert_close(layer.kernel, gamma[:, None] * step, atol=1e-6)
    assert_close(layer.bias, beta @ step - 0.01, atol=1e-6)


def test_the_fold_is_computed_in_float64():
    """It agrees with float64 to the rounding of its result, where float32 loses digits."""
    rng = np.random.default_rng(0)
    source, target = ISTA(step_size=0.9, penalty=0.1), FusedISTA(64)
    for layer in (source, target):
        layer.build((None, 5, 64))
    d = (30 * rng.normal(size=(64, 64))).astype("float32")
    source.set_weights([d])
    _fold(source, target, np.ones(64), np.zeros(64))
    exact = np.eye(64) + 0.9 * (d.astype("float64") - d.T.astype("float64") @ d)
    error = np.abs(keras.ops.convert_to_numpy(target.kernel) - exact) / np.abs(exact)
    in_float32 = np.eye(64, dtype="f4") + np.float32(0.9) * (d - d.T @ d)
    assert error.max() < 6e-8 < (np.abs(in_float32 - exact) / np.abs(exact)).max()


@pytest.mark.parametrize("options", [{"compress": "tssa"}, {"sparsify": "overcomplete_ista"}])
def test_other_operators_of_the_package(options):
    fused = _assert_same_function(disturb(_model(**options)))
    assert isinstance(fused.layers[5], FoldedNorm)


def test_a_single_head():
    model = disturb(CRATE(24, 2, 1, classifier_activation=None, **SMALL))
    _assert_same_function(model)


@keras.saving.register_keras_serializable(package="test_fuse")
class Rotate(MSSA):
    """A user's own kind of MSSA: what it does with its inputs is not known to `fuse`."""

    def call(self, inputs, training=None):
        return super().call(keras.ops.roll(inputs, 1, axis=-1), training=training)


def test_operators_of_ones_own_stay_as_they_are():
    model = disturb(_model(compress=Rotate, drop_path_rate=0.1))
    fused = _assert_same_function(model)
    assert type(fused.get_layer("block_0_rotate")) is Rotate
    assert fused.get_layer("block_0_norm_1").weights
    assert not fused.get_layer("block_0_norm_2").weights


def test_adapters_of_lora_are_merged():
    model = disturb(_model())
    model.enable_lora(2)
    for weight in model.weights:
        if "lora_kernel_b" in weight.path:
            weight.assign(0.1 * np.random.default_rng(0).normal(size=weight.shape))
    fused = _assert_same_function(model)
    assert not [w.path for w in fused.weights if "lora" in w.path]


def _adapt(model):
    model.enable_lora(2)
    for weight in model.weights:
        if "lora_kernel_b" in weight.path:
            weight.assign(0.1 * np.random.default_rng(0).normal(size=weight.shape))


def test_a_fused_model_takes_adapters_and_rounds_beneath_them(tmp_path):
    fused = fuse(_model())
    _adapt(fused)
    expected = outputs(fused, _images())
    fused.save(tmp_path / "adapted.keras")
    again = keras.saving.load_model(tmp_path / "adapted.keras")
    assert_close(outputs(again, _images()), expected, atol=1e-5)
    fused.quantize("int8")
    error = np.abs(outputs(fused, _images()) - expected).max()
    assert error < 0.05 * np.abs(expected).max()


def test_masked_autoencoder():
    model = CRATEMAE(24, 2, 3, input_shape=(16, 16, 3), patch_size=8, mean=0.4, std=[0.2, 0.3, 0.4])
    disturb(model)
    fused = fuse(model)
    assert "preprocessing" not in [layer.name for layer in fused.layers]
    noise = np.random.default_rng(0).random((3, 4))
    found, expected = (m.predict_with_noise(_images(), noise) for m in (fused, model))
    for name in ("patches", "latent"):
        assert_close(found[name], expected[name], atol=2e-5)
    losses = [m.compute_loss(_images(), None, expected) for m in (fused, model)]
    assert_close(*losses, atol=1e-6)
    encoders = [outputs(m.encoder(), _images()) for m in (fused, model)]
    assert_close(*encoders, atol=2e-5)


def test_bases_are_those_without_the_scale():
    for layer_class, fused_class in ((MSSA, FusedMSSA), (TSSA, FusedTSSA)):
        source, target = layer_class(3), fused_class(3)
        for layer in (source, target):
            layer.build((None, 5, 24))
        rng = np.random.default_rng(0)
        scale, offset = 1 + 0.3 * rng.normal(size=24), rng.normal(size=24)
        scale[4] = 0
        _fold(source, target, scale, offset)
        expected = keras.ops.convert_to_numpy(source.subspace_bases()).copy()
        expected[:, 4] = 0  # nothing of it is left
        assert_close(target.subspace_bases(), expected, atol=1e-6)
        z = rng.normal(size=(2, 5, 24)).astype("float32")
        normalised = z * scale + offset
        assert_close(target.normalized(z), normalised, atol=1e-6)
        assert_close(target.coordinates(z), source.coordinates(normalised.astype("f4")), atol=1e-5)


def test_int8_keeps_the_identity_apart():
    """In I + B the identity takes up the integers' range."""
    rng = np.random.default_rng(0)
    d = rng.uniform(-1, 1, size=(96, 96)) * np.sqrt(6 / 96)
    b = 0.1 * (d - d.T @ d)
    z = rng.normal(size=(1, 200, 96)).astype("float32")
    errors = {}
    for apart in (True, False):
        inputs = keras.Input((200, 96))
        layer = FusedISTA(96) if apart else keras.layers.Dense(96, activation="relu")
        model = keras.Model(inputs, layer(inputs))
        layer.kernel.assign(np.eye(96) + b)
        layer.bias.assign(np.full(96, -0.01))
        exact = outputs(model, z)
        assert_close(exact, oracle.ista(z, d), atol=1e-5)
        model.quantize("int8")
        assert str(layer._kernel.dtype) == "int8"
        errors[apart] = np.linalg.norm(outputs(model, z) - exact)
    assert errors[True] < 0.5 * errors[False]


def test_other_modes_leave_the_layer_alone():
    fused = fuse(_model())
    layer = fused.get_layer("block_0_ista")
    before = layer.get_weights()
    with pytest.raises((NotImplementedError, ValueError)):  # the latter by newer versions of Keras
        layer.quantize("gptq")
    assert not layer.identity_apart
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_fused_twice_is_refused():
    with pytest.raises(ValueError, match="is fused already"):
        fuse(fuse(_model()))


def test_fused_ista_refuses_what_it_would_lose():
    with pytest.raises(TypeError, match="multiple values for keyword argument 'activation'"):
        FusedISTA(4, activation="gelu")
    with pytest.raises(ValueError, match="`units` must be the width"):
        FusedISTA(5).build((None, 3, 4))


def test_foreign_models_are_refused():
    inputs = keras.Input((4,))
    for foreign in (
        keras.Model(inputs, keras.layers.Flatten()(inputs)),
        "model.keras",
        keras.models.clone_model(_model()),
    ):
        with pytest.raises(ValueError, match="must be a model of this package"):
            fuse(foreign)


def test_quantised_models_are_refused():
    model = _model()
    model.quantize("int8")
    with pytest.raises(ValueError, match="Fuse it first, then quantise"):
        fuse(model)


def test_other_sizes_of_images():
    model = disturb(_model())
    images = _images((2, 24, 32, 3))
    expected = model.with_input_shape((24, 32, 3)).predict(images, verbose=0)
    found = fuse(model).with_input_shape((24, 32, 3)).predict(images, verbose=0)
    assert_close(found, expected, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("family", [CRATE, CRATEAlpha])
def test_half_precision(policy, family):
    options = {"classifier_activation": None, **SMALL}
    model = disturb(family(24, 2, 3, **options))
    # A trained patch embedding tells a patch's mean: raw pixels would not fit half precision.
    kernel = model.get_layer("patch_embedding").projection.kernel
    kernel.assign(keras.ops.convert_to_numpy(kernel) + 0.02)
    half = family(24, 2, 3, dtype=policy, **options)
    half.set_weights(model.get_weights())
    expected = model.predict(_images(), verbose=0)
    errors = [
        np.linalg.norm(found.predict(_images(), verbose=0) - expected)
        for found in (half, fuse(half))
    ]
    assert errors[1] < max(1.5 * errors[0], 0.01 * np.linalg.norm(expected))


def test_decodes_by_the_same_names():
    fused = fuse(_model(class_names=list("abcde")))
    assert fused.class_names == tuple("abcde")
    assert len(keras_crate.decode_predictions(outputs(fused, _images()), fused)) == 3


def test_weights_of_the_other_form_are_refused(tmp_path):
    model = _model()
    fuse(model).save(tmp_path / "fused.keras")
    with pytest.raises(ValueError, match=r"fused.keras holds a fused model"):
        _model(weights=tmp_path / "fused.keras")
    with pytest.raises(ValueError, match="must not be fused"):
        keras_crate.hub.to_pytorch(fuse(model))
