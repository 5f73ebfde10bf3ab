import keras
import numpy as np
import pytest
from marks import COMPILES_LONG

from keras_crate import CRATE
from keras_crate.compiled.scaled_optimizers import depth_of
from keras_crate.training import build_optimizer, load_recipe

OPTIMIZERS = (
    "adamw", pytest.param("lion", marks=COMPILES_LONG), pytest.param("sgd", marks=COMPILES_LONG)
)  # fmt: skip
SHAPE = {"input_shape": (8, 8, 1), "patch_size": 4, "classes": 3}
X = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 1)).astype("float32")
Y = np.eye(3, dtype="float32")[np.arange(6) % 3]


def _model():
    keras.utils.set_random_seed(1)
    return CRATE(16, 3, 2, **SHAPE)


def _recipe(**changes):
    usual = {"epochs": 2, "learning_rate": 1e-2, "weight_decay": 0.0}
    return load_recipe("finetune-paper", **{**usual, **changes})


def _steps(recipe, steps=1, eagerly=True):
    """The model's weights by path before and after some steps; not compiled, which takes long."""
    model = _model()
    optimizer = build_optimizer(recipe, model, steps)
    model.compile(optimizer, "categorical_crossentropy", run_eagerly=eagerly)
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables}
    for _ in range(steps):
        model.train_on_batch(X, Y)
    after = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    return model, before, after


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_layer_decay_scales_each_depth_s_step(optimizer):
    """The first step of one factor is that of none, times the factor."""
    _, before, plain = _steps(_recipe(optimizer=optimizer))
    _, _, scaled = _steps(_recipe(optimizer=optimizer, layer_decay=0.5))
    for path, start in before.items():
        factor = 0.5 ** (4 - depth_of(path, 3))
        step = plain[path] - start
        np.testing.assert_allclose(
            scaled[path] - start, factor * step, rtol=2e-3, atol=1e-6 + 2e-4 * np.abs(step).max()
        )
    assert depth_of("block_2_mssa/subspaces/kernel", 3) == 3
    assert depth_of("patch_embedding/projection/kernel", 3) == 0
    assert depth_of("head/kernel", 3) == 4


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_weight_decay_and_what_is_spared(layer_decay):
    settings = {"optimizer": "adamw", "layer_decay": layer_decay}
    _, before, without = _steps(_recipe(**settings))
    decayed = {"weight_decay": 0.5, **settings}
    _, _, everything = _steps(_recipe(**decayed))
    groups = ["norms", "biases", "positions"]
    _, _, matrices = _steps(_recipe(**decayed, no_decay=groups))
    for path, start in before.items():
        factor = layer_decay ** (4 - depth_of(path, 3))
        change = -1e-2 * 0.5 * factor * start
        np.testing.assert_allclose(everything[path] - without[path], change, rtol=1e-2, atol=2e-6)
        is_matrix = path.endswith("kernel")
        np.testing.assert_allclose(
            matrices[path] - without[path], change * is_matrix, rtol=1e-2, atol=2e-6
        )


def test_dictionaries_can_be_spared():
    """As CRATE-alpha's authors do."""
    settings = {"optimizer": "adamw", "weight_decay": 0.5}
    _, before, everything = _steps(_recipe(**settings))
    _, _, others = _steps(_recipe(**settings, no_decay=["dictionaries"]))
    for path in before:
        same = np.allclose(everything[path], others[path], atol=1e-7)
        assert same == ("dictionary" not in path), path


def test_clipping_moving_average_and_schedule():
    recipe = _recipe(clip_norm=0.1, ema=0.5, epochs=3, warmup_epochs=1, final_learning_rate=1e-3)
    model = _model()
    optimizer = build_optimizer(recipe, model, steps_per_epoch=10)
    assert optimizer.global_clipnorm == 0.1 and optimizer.use_ema
    assert optimizer.ema_momentum == 0.5
    rates = [float(keras.ops.convert_to_numpy(optimizer._learning_rate(k))) for k in (0, 10, 30)]
    np.testing.assert_allclose(rates, [0, 1e-2, 1e-3], rtol=1e-4)
    middle = float(keras.ops.convert_to_numpy(optimizer._learning_rate(20)))
    assert middle == pytest.approx((1e-2 + 1e-3) / 2, rel=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_saved_and_loaded_it_goes_on_alike(tmp_path, optimizer):
    recipe = _recipe(optimizer=optimizer, layer_decay=0.7, weight_decay=0.1, no_decay=["biases"])
    model, _, _ = _steps(recipe, eagerly=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config()["scales"] == pytest.approx(
        [0.7**k for k in (4, 3, 2, 1, 0)]
    )
    for each in (model, loaded):
        each.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_model_without_blocks_is_refused():
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Dense(3)(images))
    assert build_optimizer(_recipe(), model, 1)
    with pytest.raises(ValueError, match="`layer_decay` below 1 needs a model with blocks"):
        build_optimizer(_recipe(layer_decay=0.9), model, 1)
