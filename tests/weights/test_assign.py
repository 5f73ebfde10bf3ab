import h5py
import keras
import numpy as np
import pytest
from authors import golden, images_of, state_of

import keras_crate
from keras_crate import CRATE
from keras_crate.hub import from_checkpoint, to_pytorch
from keras_crate.layers import ISTA
from keras_crate.weights.assign import load_weights

SMALL = {"dim": 24, "depth": 2, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def _model(**overrides):
    return CRATE(**{**SMALL, "classes": 5, **overrides})


def _saved(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


@pytest.mark.any_backend
def test_published_sizes_are_described(tmp_path):
    shape = {"input_shape": (32, 32, 3)}
    keras_crate.CRATESmall(**shape).save_weights(tmp_path / "s.weights.h5")
    with pytest.raises(
        ValueError,
        match=r"another model: width 576, 12 blocks. This model: width 384, 12 blocks.\n"
        r"First difference: patch_embedding/projection/kernel has shape \(768, 576\) in the file "
        r"and \(768, 384\) in the model",
    ):
        keras_crate.CRATETiny(weights=tmp_path / "s.weights.h5", **shape)


@pytest.mark.parametrize(
    ("overrides", "variable"),
    [
        ({"depth": 1}, "block_1_norm_1/gamma is in the model and not in the file"),
        ({"depth": 3}, "block_2_ista/dictionary/0 is in the file and not in the model"),
        ({"patch_size": 4}, r"patch_embedding/patch_norm/gamma has shape \(48,\) in the file"),
    ],
)
def test_the_first_difference_is_named(overrides, variable, tmp_path):
    _model(**overrides).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=variable):
        load_weights(_model(), tmp_path / "a.keras")


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
def test_other_heads_are_refused_though_all_shapes_agree(name, tmp_path):
    path = _saved(_model(heads=4), tmp_path / name)
    with pytest.raises(ValueError, match=r"block_0_mssa has 4 heads in the file and 2"):
        load_weights(_model(), path)
    with pytest.raises(ValueError, match="4 heads"):
        _model().load_weights(path)


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
def test_nothing_is_assigned_if_a_later_variable_differs(name, tmp_path):
    path = _saved(_model(classes=5, dim=24), tmp_path / name)
    with h5py.File(tmp_path / "a.weights.h5", "a") as file:
        if name == "a.weights.h5":
            group = next(g for g in file["layers"].values() if g["vars"].attrs["name"] == "head")
            del group["vars/1"]
            group["vars/1"] = np.zeros(4, "float32")
    if name == "a.keras":
        return  # a .keras file is compared by the same code
    model = _model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"head/bias has shape \(4,\) in the file and \(5,\)"):
        load_weights(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_weights_of_a_model_with_dropout(tmp_path):
    """Its layers store seeds besides weights."""
    trained = _model(dropout_rate=0.1, drop_path_rate=0.1)
    path = _saved(trained, tmp_path / "a.keras")
    for model in (_model(dropout_rate=0.1), _model()):
        load_weights(model, path)
        images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
        np.testing.assert_allclose(
            model.predict(images, verbose=0), trained.predict(images, verbose=0), atol=1e-6
        )


def test_a_fused_file_is_sent_to_load_model(tmp_path):
    keras_crate.fuse(_model()).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"holds a fused model.*load_model"):
        _model(weights=tmp_path / "a.keras")


def test_settings_come_with_the_weights(tmp_path):
    """They fill in what the user leaves open; a difference from what the user says is a warning."""
    trained = _model(mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7], class_names=list("abcde"))
    trained.save(tmp_path / "a.keras")
    trained.save_weights(tmp_path / "a.weights.h5")
    model = _model(weights=tmp_path / "a.keras")
    assert model.settings.mean == [0.2, 0.3, 0.4]
    assert model.class_names == tuple("abcde")
    given = {"mean": [0.1, 0.1, 0.1], "std": [1.0, 1.0, 1.0], "class_names": list("vwxyz")}
    with pytest.warns(UserWarning, match=r"made with other settings: mean=\[0.2, 0.3, 0.4\] there"):
        model = _model(weights=tmp_path / "a.keras", **given)
    assert (model.settings.mean, model.class_names) == ([0.1, 0.1, 0.1], tuple("vwxyz"))
    plain = _model(include_preprocessing=False, weights=tmp_path / "a.weights.h5")
    assert plain.settings.mean is None
    with pytest.warns(UserWarning, match="pooling='token' there and 'avg' here"):
        _model(pooling="avg", weights=tmp_path / "a.keras")


def test_numbers_of_an_operator_by_name_and_as_a_layer(tmp_path, recwarn):
    _model().save(tmp_path / "a.keras")
    _model(weights=tmp_path / "a.keras", sparsify=ISTA)
    _model(weights=tmp_path / "a.keras", sparsify=ISTA(step_size=0.1, penalty=0.1))
    assert not [w for w in recwarn if "settings" in str(w.message)]
    said = r"settings: sparsify={'step_size': 0.1} there and {'step_size': 0.2} here\.$"
    with pytest.warns(UserWarning, match=said):
        _model(weights=tmp_path / "a.keras", sparsify=ISTA(step_size=0.2))


def test_the_settings_of_a_users_subclass(tmp_path):
    class Mine(CRATE):
        """A user's, with the same weights."""

    _model(mean=[0.2, 0.3, 0.4], std=[0.5, 0.6, 0.7]).save(tmp_path / "a.keras")
    model = Mine(**SMALL, classes=5, weights=tmp_path / "a.keras")
    assert model.settings.mean == [0.2, 0.3, 0.4]


@pytest.mark.parametrize("form", ["safetensors", "npz", "dictionary"])
def test_the_authors_layouts_as_weights(form, tmp_path):
    jax = form == "npz"
    numbers = golden("crate_alpha_jax_micro" if jax else "crate_micro")
    weights = state_of(numbers)
    if jax:
        np.savez(tmp_path / "a.npz", **weights)
    if form == "safetensors":
        plain = {"heads": 4, "classifier_activation": None, "include_preprocessing": False}
        to_pytorch(from_checkpoint(weights, **plain), tmp_path / "a.safetensors")
    if form != "dictionary":
        weights = tmp_path / f"a.{form}"
    family = keras_crate.CRATEAlpha if jax else CRATE
    for shape in ((None, None, 3), (32, 32, 3)):
        model = family(
            48, 2, 4, input_shape=shape, patch_size=8, classes=10, classifier_activation=None,
            include_preprocessing=False, weights=weights,
        )  # fmt: skip
        found = model.predict(images_of(numbers), verbose=0)
        np.testing.assert_allclose(found, numbers["logits"], atol=2e-5)
    if jax:
        assert model.settings.epsilon == 1e-6
        with pytest.raises(ValueError, match="block_0_mssa has 4 heads in the file and 2 in the"):
            family(48, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10, weights=weights)
    with pytest.raises(ValueError, match="belong to another model"):
        keras_crate.CRATETiny(weights=weights)


def test_a_checkpoint_of_another_family(tmp_path):
    to_pytorch(_model(), tmp_path / "a.safetensors")
    for family in (keras_crate.CRATEMAE, keras_crate.CRATEAlpha):
        with pytest.raises(ValueError, match=r"another model, a CRATE. This model is a CRATE\w+"):
            family(**SMALL, weights=tmp_path / "a.safetensors")


def test_a_checkpoint_of_a_grid_that_is_not_a_square(tmp_path):
    shape = {**SMALL, "input_shape": (16, 48, 1), "classes": 3}
    trained = CRATE(**shape)
    to_pytorch(trained, tmp_path / "a.safetensors")
    model = CRATE(**shape, weights=tmp_path / "a.safetensors")
    for a, b in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="can be resized only between known grids"):
        CRATE(**{**shape, "input_shape": (16, 80, 1)}, weights=tmp_path / "a.safetensors")


def test_heads_of_a_published_size(tmp_path):
    shape = {"input_shape": (16, 16, 3), "patch_size": 8}
    to_pytorch(keras_crate.CRATETiny(**shape), tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="have 6 heads. Received: heads=12"):
        CRATE(384, 12, 12, **shape, weights=tmp_path / "a.safetensors")


def _initializers(operator):
    parts = operator.subspaces, operator.output_projection
    return [part.get_config()["kernel_initializer"] for part in parts]


@pytest.mark.any_backend
def test_initial_values_of_operators_are_not_drawn_if_weights_follow(tmp_path, monkeypatch):
    """To draw those of a CRATE-alpha-H takes longer than to load its file."""
    file = _saved(_model(), tmp_path / "a.keras")
    expected = _initializers(_model().get_layer("block_0_mssa"))
    drawn = []
    uniform = keras.src.backend.random.uniform
    monkeypatch.setattr(
        "keras.src.backend.random.uniform",
        lambda shape, **options: drawn.append(tuple(shape)) or uniform(shape, **options),
    )
    model = _model(classes=7, weights=file)
    kernels = [shape for shape in drawn if len(shape) == 2]
    assert sorted(kernels) == [(24, 7), (192, 24)]  # of the head and the patches
    assert np.abs(model.get_layer("head").kernel).min() > 0  # which must be trained
    assert _initializers(model.get_layer("block_0_mssa")) == expected
    drawn.clear()
    _model()
    assert (24, 24) in drawn


class _Features(keras_crate.layers.CompositeLayer):
    """Draws values that are no weights, with the initialiser of a sublayer."""

    def build(self, input_shape):
        map_to_24 = {"equation": "bnd,de->bne", "output_shape": (None, 24)}
        self.inner = self.make_sublayer(keras.layers.EinsumDense, "inner", input_shape, **map_to_24)
        self.features = self.inner.kernel_initializer((24, 24))
        self.built = True

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.any_backend
def test_operators_of_users_draw_what_they_want(tmp_path):
    file = _saved(_model(sparsify=_Features), tmp_path / "a.weights.h5")
    model = _model(sparsify=_Features, weights=file)
    (operator,) = (x for x in model.layers if isinstance(x, _Features) and "block_0" in x.name)
    assert np.abs(keras.ops.convert_to_numpy(operator.features)).max() > 0


class _Recurrent(keras_crate.layers.CompositeLayer):
    """Has a sublayer whose initialiser cannot be set."""

    def build(self, input_shape):
        options = {"units": 24, "return_sequences": True}
        self.inner = self.make_sublayer(keras.layers.GRU, "inner", input_shape, **options)
        self.built = True

    def call(self, inputs):
        return self.inner(inputs)


@pytest.mark.any_backend
def test_a_sublayer_of_any_class():
    assert _model(sparsify=_Recurrent).count_params() > 0


@pytest.mark.any_backend
def test_a_masked_autoencoder_draws_no_operator_either(tmp_path, monkeypatch):
    def model(**options):
        return keras_crate.CRATEMAE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, **options)

    first = model()
    file = _saved(first, tmp_path / "a.keras")
    monkeypatch.setattr("keras.initializers.RandomUniform.__call__", _not_drawn)
    second = model(weights=file)
    for a, b in zip(first.weights, second.weights, strict=True):
        if "seed" not in a.path:
            np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)))


def _not_drawn(self, shape, dtype=None):
    assert tuple(shape) != (24, 24), "an operator's initial values were drawn"
    return keras.ops.zeros(shape, dtype)


class _Wrapped(keras.layers.Layer):
    """Keras names what is inside by the attributes, of which the layers know nothing."""

    def __init__(self, **options):
        super().__init__(**options)
        self.attention = keras.layers.MultiHeadAttention(2, 12)

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)
        self.built = True

    def call(self, inputs):
        return self.attention(inputs, inputs)


@pytest.mark.any_backend
def test_parts_that_are_found_by_keras_only(tmp_path):
    model = _model(compress=_Wrapped)
    file = _saved(model, tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"is of this model, use `model\.load_weights`\.$"):
        _model(compress=_Wrapped, weights=file)
    other = _model(compress=_Wrapped)
    other.load_weights(file)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
