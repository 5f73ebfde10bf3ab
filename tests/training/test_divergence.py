"""A loss that is not finite stops the run; what was saved stays good."""

import threading
import types

import keras
import numpy as np
import pytest
import small_run
from marks import compiles_long

from keras_crate.training import TrainingDiverged, finetune
from keras_crate.training.divergence import FiniteLoss


def test_names_the_layer_whose_output_overflows(tmp_path, monkeypatch):
    """A rate so high that the second step's activations are not finite."""
    monkeypatch.setattr("keras_crate.training.recipe.HIGHEST", 1e30)
    recipe = small_run.RECIPE.with_changes(
        optimizer="sgd", learning_rate=1e25, clip_norm=None, warmup_epochs=0, epochs=2, ema=None
    )
    with pytest.raises(TrainingDiverged) as caught:
        small_run.run(tmp_path, recipe=recipe)
    message = str(caught.value)
    assert "epoch 1" in message
    assert "first in the output of layer '" in message or "made the weights" in message, message
    assert "Lower `learning_rate`" in message and str(tmp_path) in message
    assert not (tmp_path / "model.keras").exists()  # no epoch was good
    assert not (tmp_path / "metrics.json").exists()


@compiles_long
def test_the_last_good_epoch_is_kept(tmp_path):
    """The weights of one layer are spoilt in the second epoch, by what stands for a bad step."""
    spoilt = {}

    def spoil(epoch, logs=None):
        if epoch == 1:
            layer = spoilt["model"].get_layer("block_1_ista")
            layer.trainable_variables[0].assign(np.full(layer.trainable_variables[0].shape, np.nan))

    class Take(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            spoilt["model"] = self.model

        def on_epoch_begin(self, epoch, logs=None):
            spoil(epoch)

    with pytest.raises(TrainingDiverged, match=r"the error did not occur again|step 1 of epoch 2"):
        small_run.run(tmp_path, [Take()])
    model = spoilt["model"]
    saved = keras.saving.load_model(tmp_path / "model.keras")
    assert all(np.isfinite(w).all() for w in saved.get_weights())
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2  # header, one epoch


@keras.saving.register_keras_serializable(package="test")
class BadGradient(keras.layers.Layer):
    """Finite, and without a finite gradient: that of a square root at 0."""

    def build(self, input_shape):
        # TensorFlow would simplify a constant 0 away.
        self.zero = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        return x + keras.ops.power(keras.ops.abs(self.zero * x), 0.5)


@compiles_long
def test_weights_that_the_last_step_of_an_epoch_broke_are_not_saved(tmp_path):
    images = keras.Input((8, 8, 1))
    x = keras.layers.Dense(4, name="below")(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Dense(10, "softmax")(BadGradient()(x)))
    before = model.get_weights()
    recipe = small_run.RECIPE.with_changes(
        epochs=1, ema=None, drop_path_rate=None, dropout_rate=None, clip_norm=None,
        batch_size=96, mixup=0,
    )  # fmt: skip
    message = "at the end of epoch 1: the gradient of step 1 made the weights .*below"
    with pytest.raises(TrainingDiverged, match=message):
        finetune(model, "digits", tmp_path, recipe=recipe, limit=96, verbose=0)
    assert not (tmp_path / "model.keras").exists() and not (tmp_path / "metrics.json").exists()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def _pixels(value):
    images = np.random.default_rng(0).uniform(0, 255, (24, 8, 8, 1))
    return np.where(images > 250, value, images)


@compiles_long
def test_a_layer_in_the_middle_is_named(tmp_path):
    """One row of a dictionary is so large that its square overflows at the first step."""
    model = small_run.small_model()
    layer = model.get_layer("block_1_ista")
    dictionary = np.array(keras.ops.convert_to_numpy(layer.trainable_variables[0]))
    layer.trainable_variables[0].assign(dictionary * 1e30)
    recipe = small_run.RECIPE.with_changes(image_size=8, epochs=1, ema=None)
    with pytest.raises(TrainingDiverged) as caught:
        finetune(model, "digits", tmp_path, recipe=recipe, limit=48, verbose=0)
    assert "first in the output of layer 'block_1_ista'" in str(caught.value)
    assert "its weights are finite" in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_numbers_are_refused_before(tmp_path, value):
    with pytest.raises(ValueError, match=r"finite and in \[0, 255\]"):
        finetune("none", (_pixels(value), np.arange(24) % 2), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_batch_that_is_spoilt_by_augment_is_told(tmp_path):
    def spoil(images):
        return images * np.nan

    with pytest.raises(TrainingDiverged, match="the batch has pixels that are NaN"):
        small_run.run(tmp_path, augment=spoil, recipe=small_run.RECIPE.with_changes(epochs=1))


class Threads(keras.callbacks.Callback):
    """Notes which threads are told of a step's end."""

    async_safe = True

    def on_train_begin(self, logs=None):
        self.seen = set()

    def on_train_batch_end(self, batch, logs=None):
        self.seen.add(threading.current_thread())


def test_no_step_waits_for_its_loss(tmp_path):
    threads = Threads()
    small_run.run(tmp_path, [threads], recipe=small_run.RECIPE.with_changes(epochs=1), verbose=1)
    waits = threading.main_thread() in threads.seen
    assert waits == (keras.backend.backend() == "tensorflow")  # where Keras has no such threads


def test_training_and_evaluation_stop_after_a_bad_step():
    model = types.SimpleNamespace(stop_training=False, stop_evaluating=False)
    callback = FiniteLoss(None, None, None)
    callback.set_model(model)
    callback.on_train_batch_end(4, {"loss": 1.0})
    callback.on_test_begin()
    assert not model.stop_training and not model.stop_evaluating
    for step in (7, 5):  # threads may end in any order
        callback.on_train_batch_end(step, {"loss": np.nan})
    callback.on_test_begin()
    assert model.stop_training and model.stop_evaluating and min(callback.losses) == 5


def test_several_devices_stop_together_at_the_end_of_an_epoch(tmp_path):
    """Each process sees the losses of its own images, and all see the epoch's."""
    restored = []
    backup = types.SimpleNamespace(restore=lambda: restored.append(1), folder=tmp_path / "backup")
    callback = FiniteLoss(backup, None, None, is_alone=False)
    model = types.SimpleNamespace(stop_training=False, trainable_variables=[])
    callback.set_model(model)
    callback.on_train_batch_end(4, {"loss": np.inf})
    callback.on_epoch_end(0, {"loss": 1.0})
    assert not model.stop_training and not restored
    with pytest.raises(
        TrainingDiverged, match="The loss became inf in epoch 2: train on one device"
    ):
        callback.on_epoch_end(1, {"loss": np.inf})
    assert restored
