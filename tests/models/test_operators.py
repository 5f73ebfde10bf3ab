"""Operators that are exchanged: every pair by the same code."""

import functools
import itertools
import warnings

import keras
import numpy as np
import pytest
from compare import assert_close, outputs

from keras_crate import CRATE, interpret, objective
from keras_crate.hub.open_model import open_model
from keras_crate.layers import ISTA, MSSA, TSSA, CompositeLayer, OvercompleteISTA, SubspaceLayer
from keras_crate.models.operators import OPERATORS, operator_name


@keras.saving.register_keras_serializable(package="test_operators")
class ToTheMean(SubspaceLayer):
    def call(self, inputs, training=None):
        w = self.coordinates(inputs)
        return self.merge(keras.ops.mean(w, axis=2, keepdims=True) - w, training)


@keras.saving.register_keras_serializable(package="test_operators")
class Threshold(CompositeLayer):
    def __init__(self, penalty, **kwargs):
        super().__init__(**kwargs)
        self.penalty = penalty

    def build(self, input_shape):
        self.dictionary = self.make_sublayer(
            keras.layers.Dense, "dictionary", input_shape, units=input_shape[-1]
        )
        self.built = True

    def call(self, inputs):
        return keras.ops.relu(self.dictionary(inputs) - self.penalty)

    def get_config(self):
        return {**super().get_config(), "penalty": self.penalty}


PAIRS = [
    *itertools.product(OPERATORS["compress"], OPERATORS["sparsify"]),
    (ToTheMean, Threshold),
]


def _model(**overrides):
    small = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
    return CRATE(24, 2, 2, **{**small, **overrides})


def _data():
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 3
    images = rng.uniform(0, 64, (12, 16, 16, 3)) + 64 * labels[:, None, None, None]
    return images.astype("float32"), labels


@pytest.mark.parametrize(("compress", "sparsify"), PAIRS)
def test_every_pair(compress, sparsify, tmp_path):
    model = _model(compress=compress, sparsify=sparsify)
    images, labels = _data()
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    losses = model.fit(images, labels, epochs=8, batch_size=12, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(again.predict(images, verbose=0), expected)
    assert again.get_config() == model.get_config()
    other = _model(compress=compress, sparsify=sparsify, weights=tmp_path / "a.keras")
    np.testing.assert_array_equal(other.predict(images, verbose=0), expected)
    measured = objective.measure(again, images)
    assert len(measured.coding_rate_mean) == 2 and min(measured.coding_rate_mean) > 0
    assert all(0 < zeros < 1 for zeros in measured.sparsity_mean)


def test_operators_of_ones_own_are_quantised_and_adapted(tmp_path):
    model = _model(compress=ToTheMean, sparsify=Threshold)
    images, _ = _data()
    model.enable_lora(2)
    assert sum("lora" in w.path for w in model.trainable_weights) == 2 * 2 * 3
    model.quantize("int8")
    expected = outputs(model, images)
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    found = outputs(again, images)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_a_keras_layer_is_an_operator_too(tmp_path):
    model = _model(sparsify=keras.layers.Dense(24, activation="relu"))
    images, _ = _data()
    model.quantize("int8")
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert_close(outputs(again, images), outputs(model, images), atol=1e-6)


@pytest.mark.any_backend
def test_custom_objects_find_operators_that_are_not_registered(tmp_path):
    class Local(ToTheMean):
        pass

    class Plain(keras.layers.Layer):  # as short as Keras allows
        def call(self, inputs):
            return keras.ops.relu(inputs)

    model = _model(compress=Local, sparsify=Plain)
    model.save(tmp_path / "a.keras")
    objects = {"Local": Local, "Plain": Plain}
    found = [
        CRATE.from_config(model.get_config(), custom_objects=objects),
        keras.saving.load_model(tmp_path / "a.keras", custom_objects=objects),
    ]
    with keras.saving.custom_object_scope(objects):
        found.append(CRATE.from_config(model.get_config()))
        found.append(keras.saving.load_model(tmp_path / "a.keras"))
        found.append(open_model(str(tmp_path / "a.keras"))[0])
    for again in found:
        assert type(again.get_layer("block_0_local")) is Local
        assert type(again.get_layer("block_0_plain")) is Plain
    with pytest.raises(TypeError, match="Local"):
        keras.saving.load_model(tmp_path / "a.keras")


def test_a_file_of_other_operators_warns(tmp_path):
    _model(sparsify="overcomplete_ista").save(tmp_path / "a.keras")
    other = OvercompleteISTA(residual=False, penalty=9.0)
    said = "settings: sparsify={'penalty': 0.1} there and {'penalty': 9.0} here"
    with pytest.warns(UserWarning, match=said):
        _model(sparsify=other, weights=tmp_path / "a.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _model(sparsify=OvercompleteISTA(), weights=tmp_path / "a.keras")


def test_layers_are_named_after_their_class():
    names = [x.name for x in _model(compress=ToTheMean, sparsify="overcomplete_ista").layers]
    assert "block_1_to_the_mean" in names and "block_1_overcomplete_ista" in names
    for role in OPERATORS.values():
        for name, layer_class in role.items():
            arguments = {} if "ista" in name else {"heads": 2}
            assert operator_name(layer_class(**arguments)) == name


def test_one_class_in_both_roles():
    names = [x.name for x in _model(compress=MSSA(2), sparsify=MSSA(2)).layers]
    assert "block_0_compress" in names and "block_0_sparsify" in names
    assert "block_0_add_2" in names  # MSSA is added wherever it stands


def test_classes_and_factories_are_told_what_the_model_knows():
    for given in (
        functools.partial(TSSA, use_bias=False, heads=2),
        lambda heads, dropout_rate: TSSA(heads, use_bias=False, dropout_rate=dropout_rate),
        TSSA(2, use_bias=False, dropout_rate=0.1),
    ):
        model = _model(compress=given, dropout_rate=0.1)
        layers = [model.get_layer(f"block_{i}_tssa") for i in (0, 1)]
        assert layers[0] is not layers[1]
        for layer in layers:
            assert (layer.heads, layer.dropout_rate, layer.use_bias) == (2, 0.1, False)
    bound = functools.partial(ISTA, penalty=0.5)  # what is bound stays
    assert _model(sparsify=bound, penalty=0.3).get_layer("block_0_ista").penalty == 0.5

    class Sub(TSSA):
        def __init__(self, tau=1.0, **kwargs):
            super().__init__(**kwargs)

    assert _model(compress=Sub).get_layer("block_0_sub").heads == 2  # by way of **kwargs
    assert _model(sparsify=ISTA, penalty=0.3).get_layer("block_0_ista").penalty == 0.3


def test_a_layer_is_copied_and_not_used():
    given = OvercompleteISTA(ratio=2)
    model = _model(sparsify=given)
    assert not given.built
    a, b = (model.get_layer(f"block_{i}_overcomplete_ista").get_weights()[0] for i in (0, 1))
    assert a.shape == (24, 48)
    assert np.abs(a - b).max() > 0.01  # each block's initial values are its own
    given.build((None, 5, 24))  # a layer in use may be given too
    again = _model(sparsify=given).get_layer("block_0_overcomplete_ista").get_weights()[0]
    assert np.abs(again - given.get_weights()[0]).max() > 0.01


def test_the_models_dtype_rules():
    model = _model(compress=TSSA(2, dtype="float32"), dtype="mixed_bfloat16")
    assert model.get_layer("block_0_tssa").dtype_policy.name == "mixed_bfloat16"


def test_a_residual_of_ones_own():
    class NoSkip(ToTheMean):
        residual = False

    images, _ = _data()
    model = _model(compress=NoSkip)
    assert "block_0_add" not in [x.name for x in model.layers]
    measured = objective.measure(model, images, convention="paper")
    half = keras.Model(model.input, model.get_layer("block_1_no_skip").output)
    bases = keras.ops.convert_to_numpy(model.get_layer("block_1_no_skip").subspace_bases())
    expected = objective.subspace_coding_rate(outputs(half, images), bases).mean()
    assert_close(measured.coding_rate_mean[1], expected, atol=1e-4)
    larger = model.with_input_shape((24, 24, 3))  # though nobody registered the class
    assert type(larger.get_layer("block_0_no_skip")) is NoSkip


def test_refusals():
    with pytest.raises(
        ValueError, match=r"`compress` must be one of \('mssa', 'tssa', 'cbsa'\).*'ista'"
    ):
        _model(compress="ista")
    with pytest.raises(ValueError, match=r"`sparsify` must be .*sparsify=None"):
        _model(sparsify=None)
    with pytest.raises(ValueError, match=r"`sparsify` must be .*which returned 3"):
        _model(sparsify=lambda: 3)
    with pytest.raises(ValueError, match=r"`compress` must be .*\nThe call with {'heads': 2"):
        _model(compress=lambda heads, tau: MSSA(heads))
    with pytest.raises(ValueError, match=r"`sparsify` must return tokens of its input's.*7\)"):
        _model(sparsify=keras.layers.Dense(7))


def test_what_cannot_be_measured_says_why():
    images, _ = _data()
    model = _model(compress=Threshold(0.1))
    with pytest.raises(ValueError, match=r"block_0_threshold.*method `subspace_bases\(\)`"):
        objective.measure(model, images)
    with pytest.raises(ValueError, match=r"block_1_tssa' is TSSA and does not"):
        interpret.attention_maps(_model(compress="tssa"), images)
