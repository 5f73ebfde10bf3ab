import keras
import numpy as np
import pytest
import small_run

import keras_crate
from keras_crate.training import Recipe
from keras_crate.training.phases import freeze_all_but_head, phases_of

RECIPE = Recipe(
    epochs=3, head_epochs=1, head_learning_rate=1e-2, learning_rate=1e-3, warmup_epochs=1,
    batch_size=48, evaluation_crop="whole",
)  # fmt: skip


def test_the_head_then_everything(tmp_path):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            layers = ("patch_embedding", "block_1_ista", "head")
            weights = [self.model.get_layer(name).get_weights()[0] for name in layers]
            seen.append([logs["learning_rate"], *weights])

    begin = small_run.small_model()
    run = small_run.run(tmp_path, [Watch()], recipe=RECIPE)
    start = [begin.get_layer(n).get_weights()[0] for n in ("patch_embedding", "block_1_ista")]
    for k, before in enumerate(start, 1):
        np.testing.assert_array_equal(seen[0][k], before)
        assert np.abs(seen[1][k] - before).max() > 0
    assert np.abs(seen[0][3] - begin.get_layer("head").get_weights()[0]).max() > 1e-3
    # A cosine of its own for the head; then the warm-up.
    assert seen[0][0] == pytest.approx(0, abs=1e-9)
    assert [row[0] for row in seen[1:]] == pytest.approx([1e-3, 0], abs=1e-9)
    assert len(run.history["loss"]) == 3 and all(layer.trainable for layer in run.model.layers)


@pytest.mark.any_backend
def test_a_callback_that_stops_the_head_s_epochs_ends_the_run(tmp_path):
    stop = keras.callbacks.LambdaCallback()
    stop.on_epoch_end = lambda epoch, logs: setattr(stop.model, "stop_training", True)
    run = small_run.run(tmp_path, [stop], recipe=RECIPE.with_changes(epochs=4, head_epochs=2))
    assert run.metrics["epochs"] == 1


def test_after_an_error_all_is_as_trainable_as_before(tmp_path):
    model = small_run.small_model()
    model.get_layer("patch_embedding").trainable = False

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keras_crate.training.pretrain(
            model, "digits", tmp_path, recipe=RECIPE, verbose=0, limit=96,
            callbacks=[small_run.AtStep(0, 0, fail)],
        )  # fmt: skip
    frozen = [layer.name for layer in model.layers if layer.weights and not layer.trainable]
    assert frozen == ["patch_embedding"]


@pytest.mark.any_backend
def test_phases_of_a_recipe():
    [whole] = phases_of(RECIPE.with_changes(head_epochs=0))
    assert whole.last == 3 and not whole.head_only
    [head] = phases_of(RECIPE.with_changes(head_epochs=0, train_only="head"))
    assert head.last == 3 and head.head_only and head.is_final
    short = RECIPE.with_changes(epochs=1)
    assert short.head_epochs == 0 and short.warmup_epochs == 1
    assert RECIPE.with_changes(epochs=2).warmup_epochs == 1
    for bad, name in (
        ({"head_epochs": 3}, "head_epochs"),
        ({"head_epochs": 0.5}, "head_epochs"),
        ({"warmup_epochs": 3}, "warmup_epochs"),
        ({"head_learning_rate": 0}, "head_learning_rate"),
        ({"train_only": "head"}, "train_only"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` must be"):
            RECIPE.with_changes(**bad)


@pytest.mark.any_backend
def test_the_head_of_another_keras_model_and_of_none():
    images = keras.Input((4, 4, 1))
    x = keras.layers.Dense(2)(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Softmax()(keras.layers.Dense(3)(x)))
    freeze_all_but_head(model)
    assert [weight.shape for weight in model.trainable_variables] == [(2, 3), (3,)]
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    with pytest.raises(ValueError, match=r"are for classifiers. Received: a CRATEMAE"):
        freeze_all_but_head(mae)
