"""A batch in several steps trains as the batch in one does."""

import keras
import numpy as np
import pytest
import small_run
from marks import COMPILES_LONG, compiles_long

from keras_crate import CRATE
from keras_crate.training import Recipe, build_optimizer
from keras_crate.training.prepared_batches import open_prepared

X = np.random.default_rng(0).uniform(0, 255, (18, 8, 8, 1)).astype("float32")
Y = np.eye(3, dtype="float32")[np.arange(18) % 3]
UPDATES, IMAGES, ACCUMULATE = 3, 6, 2


def _trained(recipe: Recipe):
    """Rates and losses of some updates; weights and their averages at the end."""
    keras.utils.set_random_seed(1)
    model = CRATE(8, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)
    steps = recipe.accumulate
    optimizer = build_optimizer(recipe, model, UPDATES * steps)
    model.compile(optimizer, "categorical_crossentropy")
    rates, losses = [], []
    for x, y in zip(np.split(X, UPDATES * steps), np.split(Y, UPDATES * steps), strict=True):
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x, y)))
    losses = np.reshape(losses, (UPDATES, steps)).mean(axis=1)
    weights = model.get_weights()
    if recipe.ema:
        averages = keras.callbacks.SwapEMAWeights()
        averages.set_model(model)
        averages.on_test_begin()
        weights += model.get_weights()
    return rates, losses, weights


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "ema": 0.7, "clip_norm": 0.5, "layer_decay": 0.6},
        pytest.param({"optimizer": "adamw", "no_decay": ["biases"]}, marks=COMPILES_LONG),
        {"optimizer": "lion", "beta_2": 0.99, "learning_rate": 1e-3},
        pytest.param({"optimizer": "sgd", "ema": 0.7, "clip_norm": 0.5}, marks=COMPILES_LONG),
    ],
    ids=["adamw-ema-clip-layers", "adamw", "lion", "sgd-ema-clip"],
)
def test_updates_are_those_of_the_large_batch(settings):
    usual = {"epochs": 2, "warmup_epochs": 1, "learning_rate": 1e-2, "weight_decay": 0.1}
    recipe = Recipe(**{**usual, "batch_size": IMAGES, **settings})
    rates, losses, weights = _trained(recipe)
    many_rates, many_losses, many_weights = _trained(recipe.with_changes(accumulate=ACCUMULATE))
    np.testing.assert_allclose(np.repeat(rates, ACCUMULATE), many_rates, rtol=1e-6)
    assert len({*rates}) == UPDATES
    np.testing.assert_allclose(losses, many_losses, rtol=1e-4)
    for one, many in zip(weights, many_weights, strict=True):
        np.testing.assert_allclose(one, many, rtol=0, atol=1e-5)


RECIPE = Recipe(
    epochs=3, warmup_epochs=1, batch_size=40, learning_rate=2e-3, crop_area=None, shift=1,
    flip=False, ema=0.9, clip_norm=1.0, layer_decay=0.8, label_smoothing=0.1,
    evaluation_crop="whole",
)  # fmt: skip


def _fit_steps(counted: list):
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: counted.append(step)
    )


@compiles_long
def test_a_run_is_that_of_the_large_batch(tmp_path):
    """96 images are two batches of 40, or eight steps of ten. The last 16 are left out."""
    steps = []
    one = small_run.run(tmp_path / "one", recipe=RECIPE)
    four = RECIPE.with_changes(accumulate=4)
    many = small_run.run(tmp_path / "four", [_fit_steps(steps)], recipe=four)
    assert steps == [*range(8)] * 3
    for name, values in one.history.items():
        if name != "images_per_second":
            np.testing.assert_allclose(values, many.history[name], rtol=1e-4, err_msg=name)
    for a, b in zip(one.model.get_weights(), many.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
    files = [keras.saving.load_model(run.file) for run in (one, many)]
    for a, b in zip(*(file.get_weights() for file in files), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)  # the averages
    assert files[1].optimizer.gradient_accumulation_steps == 4


@compiles_long
def test_stopped_between_the_steps_of_an_update_and_resumed(tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    recipe = RECIPE.with_changes(accumulate=4)
    whole = small_run.run(tmp_path / "whole", recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        small_run.run(tmp_path / "cut", [small_run.AtStep(1, 5, interrupt)], recipe=recipe)
    resumed = small_run.run(tmp_path / "cut", recipe=recipe)
    assert resumed.metrics["resumed_after"] == 1
    for a, b in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.history["loss"] == resumed.history["loss"]


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 0}, "`accumulate` must be a positive integer"),
        ({"batch_size": 10, "accumulate": 4}, "`accumulate` must be a divisor of batch_size, 10"),
        ({"accumulate": 2, "simdino": {}}, "`accumulate` must be 1 with `simdino`, whose loss"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)


@pytest.mark.any_backend
def test_a_batch_of_all_images_that_cannot_be_divided_is_refused_before_the_folder_is_made(
    tmp_path,
):
    recipe = RECIPE.with_changes(batch_size=200, accumulate=5)
    with pytest.raises(ValueError, match=r"cut into 5 equal parts.* a batch of 96 of 96 images"):
        small_run.run(tmp_path / "run", recipe=recipe)
    assert not (tmp_path / "run").exists()


@pytest.mark.any_backend
def test_prepared_batches_are_steps():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            return X[:4], Y[:4]

    model = CRATE(16, 2, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)
    prepared = open_prepared(Batches(), None, None, model)
    recipe, _ = prepared.recipe(RECIPE.with_changes(accumulate=2))
    assert (recipe.batch_size, recipe.accumulate) == (8, 2)
    assert prepared.recipe(recipe, parts=3)[0].batch_size == 24  # of three processes
    with pytest.raises(
        ValueError, match=r"multiple of accumulate=4\. Received: 6 batches. Leave 2"
    ):
        prepared.recipe(RECIPE.with_changes(accumulate=4))
