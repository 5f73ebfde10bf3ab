import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEAlpha, objective
from keras_crate.objective import SparseRateReduction


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (4, 16, 16, 3)).astype("float32")


def _model(family=CRATE):
    keras.utils.set_random_seed(0)
    return family(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)


def _loss(model, images):
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model.evaluate(images, np.arange(4), verbose=0)


def _expected(model, images, layers, last, penalty):
    inside = keras.Model(model.input, [model.get_layer(f"block_{i}_{last}").output for i in layers])
    outputs = inside.predict(images, verbose=0)
    values = []
    for i, z in zip(layers, outputs if len(layers) > 1 else [outputs], strict=True):
        z = np.asarray(z)[0] if np.ndim(z) == 4 else np.asarray(z)
        bases = keras.ops.convert_to_numpy(model.get_layer(f"block_{i}_mssa").subspace_bases())
        reduction = objective.rate_reduction(z, bases)
        values.append(reduction - penalty * np.abs(z.astype("float64")).sum(axis=(1, 2)))
    return np.mean(values)


@pytest.mark.parametrize(
    ("family", "last", "layers"), [(CRATE, "ista", None), (CRATEAlpha, "add_2", [-1, 1])]
)
def test_the_loss_gains_the_term(family, last, layers, images):
    model = _model(family)
    plain = _loss(model, images)
    assert SparseRateReduction(0.01, penalty=0.2, layers=layers).attach(model) is model
    regularised = _loss(model, images)
    value = _expected(model, images, [0, 1] if layers is None else [1], last, penalty=0.2)
    assert abs(value) > 1
    assert_close(regularised - plain, -0.01 * value, atol=1e-3, rtol=1e-4)
    # The default weight, 0, and `detach` leave no trace.
    assert_close(_loss(SparseRateReduction().attach(model), images), plain, atol=1e-6)
    SparseRateReduction(0.01).attach(model)
    assert_close(_loss(SparseRateReduction.detach(model), images), plain, atol=1e-6)


def test_training_raises_the_objective_also_after_a_fit_without(images, tmp_path):
    model = _model()
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(images, np.arange(4), epochs=1, verbose=0)
    before = objective.measure(model, images, convention="paper")
    SparseRateReduction(1.0, penalty=0.01).attach(model)  # no new `compile`
    model.fit(images, np.arange(4), epochs=8, verbose=0)
    after = objective.measure(model, images, convention="paper")
    gain = np.subtract(after.rate_reduction_mean, before.rate_reduction_mean)
    assert gain.min() > 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(images), model.predict(images), atol=1e-6)
    assert not loaded.losses
    clone = keras.models.clone_model(model)
    clone(images)
    assert float(sum(clone.losses)) == 0


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="it is XLA's CPU scheduler that stalls"
)
def test_warns_where_xla_may_stall(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    with pytest.warns(UserWarning, match=r"XLA may stall.*XLA_FLAGS=--xla_cpu_enable"):
        SparseRateReduction(1.0).attach(_model())


def test_refusals():
    with pytest.raises(ValueError, match=r"`weight` must be a number of 0 or more"):
        SparseRateReduction(-1)
    with pytest.raises(ValueError, match=r"`eps` must be a number above 0"):
        SparseRateReduction(1, eps=0)
    with pytest.raises(ValueError, match=r"numbers 0, 1. Negative .* Received: \[2\]"):
        SparseRateReduction(1, layers=[2]).attach(_model())
    model = _model()
    model.get_layer("block_0_ista").activity_regularizer = keras.regularizers.L1(0.1)
    with pytest.raises(ValueError, match=r"'block_0_ista' has an activity regulariser, L1"):
        SparseRateReduction(1).attach(model)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="white-box blocks"):
        SparseRateReduction(1).attach(plain)
