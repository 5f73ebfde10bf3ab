import keras
import numpy as np
import pytest
from compare import assert_close

from keras_crate import CRATE, CRATEMAE, objective


def _trained(tmp_path=None, epochs=3, **arguments):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (8, 16, 16, 3)).astype("float32")
    model = CRATE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    before = objective.measure(model, images[:4])
    layerwise = objective.LayerwiseObjective(images[:4], **arguments)
    callbacks = [layerwise]
    if tmp_path:
        callbacks.append(keras.callbacks.CSVLogger(tmp_path / "log.csv"))
    history = model.fit(
        images, np.arange(8) % 5, epochs=epochs, batch_size=4, verbose=0, callbacks=callbacks
    )
    return model, images, before, layerwise, history.history


def test_measures_every_epoch_and_tells_the_others(tmp_path):
    model, images, before, layerwise, history = _trained(tmp_path)
    assert list(layerwise.measurements) == [0, 1, 2, 3]
    assert_close(layerwise.measurements[0].coding_rate_mean, before.coding_rate_mean, atol=1e-6)
    after = objective.measure(model, images[:4])  # the weights of that very epoch
    assert_close(layerwise.measurements[3].coding_rate_mean, after.coding_rate_mean, atol=1e-5)
    assert_close(layerwise.measurements[3].sparsity_mean, after.sparsity_mean, atol=1e-6)
    change = np.subtract(after.coding_rate_mean, before.coding_rate_mean)
    assert np.abs(change).min() > 1e-3
    for name in ("coding_rate", "sparsity"):
        means = [getattr(layerwise.measurements[e], f"{name}_mean")[1] for e in (1, 2, 3)]
        assert history[f"block_1_{name}"] == means
    assert "block_0_sparsity" in (tmp_path / "log.csv").read_text()
    model.fit(images, np.arange(8) % 5, initial_epoch=2, epochs=3, verbose=0, callbacks=[layerwise])
    assert list(layerwise.measurements) == [0, 1, 2, 3]
    # It says what the weights are at that epoch's beginning, whatever they were before.
    assert_close(layerwise.measurements[2].coding_rate_mean, after.coding_rate_mean, atol=1e-5)
    now = objective.measure(model, images[:4])
    assert_close(layerwise.measurements[3].coding_rate_mean, now.coding_rate_mean, atol=1e-5)
    # From the beginning again: nothing of the first time is left.
    model.fit(images, np.arange(8) % 5, epochs=1, verbose=0, callbacks=[layerwise])
    assert list(layerwise.measurements) == [0, 1]
    assert_close(layerwise.measurements[0].coding_rate_mean, now.coding_rate_mean, atol=1e-5)
    again = objective.measure(model, images[:4])
    assert_close(layerwise.measurements[1].coding_rate_mean, again.coding_rate_mean, atol=1e-5)


def test_every_second_epoch_and_the_last():
    *_, layerwise, history = _trained(every=2, convention="paper")
    # Between measurements the logs hold the latest, which tells `CSVLogger` its columns.
    means = [layerwise.measurements[epoch].objective_mean[1] for epoch in (0, 2, 3)]
    assert history["block_1_paper_objective"] == means and "block_1_coding_rate" not in history
    assert list(layerwise.measurements) == [0, 2, 3]
    assert layerwise.measurements[2].objective_mean is not None
    pytest.importorskip("matplotlib")
    legend = layerwise.plot().axes[1].get_legend().get_texts()
    assert [text.get_text() for text in legend] == [
        "before training (untrained)", "epoch 2", "epoch 3",
    ]  # fmt: skip


@pytest.mark.any_backend
def test_the_last_epoch_is_measured_after_an_odd_one_too():
    layerwise = _trained(epochs=2, every=3)[3]
    assert list(layerwise.measurements) == [0, 2]


def test_every_fourth_step_with_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    _, _, _, layerwise, history = _trained(every=4, unit="step", frames=tmp_path / "frames")
    assert list(layerwise.measurements) == [0, 4, 6]  # 2 steps an epoch; the last one too
    of_step = [layerwise.measurements[step].sparsity_mean[0] for step in (0, 4, 6)]
    assert history["block_0_sparsity"] == of_step
    frames = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert frames == ["step_0000.png", "step_0004.png", "step_0006.png"]
    with Image.open(tmp_path / "frames" / frames[0]) as frame:
        assert frame.size == (960, 360)
    with pytest.raises(ValueError, match=r"must end in .gif, .webp or .png. Received: .*mp4"):
        layerwise.animate(tmp_path / "layers.mp4")
    layerwise.animate(tmp_path / "layers.gif", seconds=2)
    with Image.open(tmp_path / "layers.gif") as moving:
        assert moving.info["duration"] == 400  # of 2,000 ms; the last picture comes thrice
        assert moving.n_frames >= 3
        first, last = (_frame(moving, k) for k in (0, moving.n_frames - 1))
    assert np.abs(first - last).max() > 100  # the curves moved


def _frame(moving, number):
    moving.seek(number)
    return np.array(moving.convert("L"), "float64")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras' TensorBoard needs TensorFlow"
)
def test_tensorboard_gets_the_curves(tmp_path):
    import tensorflow as tf

    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    model.compile("sgd", "sparse_categorical_crossentropy")
    layerwise = objective.LayerwiseObjective(images)
    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    model.fit(images, np.arange(4), epochs=2, verbose=0, callbacks=[layerwise, board])
    values = {}
    for file in (tmp_path / "train").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                values[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    for epoch in (0, 1):
        expected = layerwise.measurements[epoch + 1].coding_rate_mean[0]
        assert_close(values["epoch_block_0_coding_rate", epoch], expected, atol=1e-4)


def test_of_many_times_six_are_drawn():
    pytest.importorskip("matplotlib")
    layerwise = objective.LayerwiseObjective(np.zeros((1, 16, 16, 3)))
    measured = objective.LayerMeasurements([1.0], [0.0], [0.5], [0.0], 1, "authors", 0.01)
    layerwise.measurements = {time: measured for time in range(0, 101, 4)}
    legend = [text.get_text() for text in layerwise.plot().axes[1].get_legend().get_texts()]
    assert (
        len(legend) == 6 and legend[0].startswith("before training") and legend[-1] == "epoch 100"
    )


def test_of_a_masked_autoencoder_the_encoder_is_measured():
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
    mae = CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    mae.compile("sgd")
    layerwise = objective.LayerwiseObjective(images)
    mae.fit(images, epochs=1, verbose=0, callbacks=[layerwise])
    expected = objective.measure(mae.encoder(), images)
    assert_close(layerwise.measurements[1].coding_rate_mean, expected.coding_rate_mean, atol=1e-5)
    with pytest.raises(ValueError, match=r"hides patches at random.*`model.encoder\(\)`"):
        objective.measure(mae, images)


def test_refuses_what_cannot_be_measured():
    with pytest.raises(ValueError, match="`every` must be a positive integer"):
        objective.LayerwiseObjective(np.zeros((1, 16, 16, 3)), every=0)
    with pytest.raises(ValueError, match="`unit` must be one of 'epoch', 'step'"):
        objective.LayerwiseObjective(np.zeros((1, 16, 16, 3)), unit="batch")
    with pytest.raises(ValueError, match="Nothing is measured yet"):
        objective.LayerwiseObjective(np.zeros((1, 16, 16, 3))).animate("layers.gif")
    with pytest.raises(ValueError, match="`convention` must be one of"):
        objective.LayerwiseObjective(np.zeros((1, 16, 16, 3)), convention="mine")
    with pytest.raises(ValueError, match=r"`images` must be an array.*generator"):
        objective.LayerwiseObjective(x for x in ())
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    plain.compile("sgd", "mse")
    layerwise = objective.LayerwiseObjective(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="white-box blocks"):
        plain.fit(np.zeros((2, 4)), np.zeros((2, 2)), verbose=0, callbacks=[layerwise])
