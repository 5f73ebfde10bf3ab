import gc
import weakref

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import TORCH

from keras_crate import CRATE, CRATEMAE
from keras_crate.keras_internals import (
    AveragesOfUpdates,
    SwappedAverages,
    changed_gradients,
    changed_moments,
    changed_results,
    check_before_quantize,
    compile_steps_anew,
    has_metrics_without_variables,
    outside_remat_scopes,
    parts_of,
    random_seed_dtype,
    run_graph,
    stored_kernel,
    variable_path,
    variables_without_values,
)
from keras_crate.models.white_box import WhiteBoxModel

runs_eagerly = pytest.mark.skipif(not TORCH, reason="only PyTorch runs graphs eagerly")


def _images():
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    return keras.ops.convert_to_tensor(images)


def test_metrics_get_variables_in_their_first_use():
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2)
    assert not has_metrics_without_variables(model)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert has_metrics_without_variables(model)
    model.compute_metrics(_images(), np.zeros(2), np.full((2, 2), 0.5, "float32"))
    assert not has_metrics_without_variables(model)


@runs_eagerly
@pytest.mark.parametrize("family", [CRATE, CRATEMAE])
def test_run_graph_agrees_with_keras_own_way(family):
    model = family(24, 2, 3, input_shape=(16, 16, 3), patch_size=8)
    # Random masks would differ: all layers but the one that draws them.
    values = {"patch_noise": keras.ops.convert_to_tensor(np.random.rand(2, 4).astype("float32"))}

    def operation_fn(layer):
        return lambda *args, **kwargs: (
            values[layer.name] if layer.name in values else layer(*args, **kwargs)
        )

    expected = super(WhiteBoxModel, model)._run_through_graph(_images(), operation_fn)
    found = run_graph(model, _images(), operation_fn)
    keras.tree.assert_same_structure(found, expected)
    for ours, keras_own in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
        assert_close(ours, keras_own, atol=0)


@runs_eagerly
def test_run_graph_frees_tensors_after_their_last_use():
    model = CRATE(24, 6, 3, input_shape=(16, 16, 3), patch_size=8)
    alive, given = [], []

    def operation_fn(layer):
        def call(*args, **kwargs):
            outputs = layer(*args, **kwargs)
            given.append(weakref.ref(outputs))
            gc.collect()
            alive.append(sum(ref() is not None for ref in given))
            return outputs

        return call

    import torch

    with torch.no_grad():
        model._run_through_graph(_images(), operation_fn)
    assert len(given) > 30 and max(alive) <= 4


def test_parts_of():
    layer = CRATE(24, 1, 3, input_shape=(16, 16, 3), patch_size=8).get_layer("block_0_mssa")
    inside = {part.name for part in parts_of(layer, include_self=False)}
    assert {"subspaces", "output_projection"} <= inside
    assert parts_of(layer)[0] is layer and layer not in parts_of(layer, include_self=False)
    outer = keras.Sequential(
        [keras.Input((3,)), keras.Sequential([keras.layers.Dense(2, name="in")])]
    )
    names = [part.name for part in parts_of(outer, recursive=False)]
    assert "in" not in names and "in" in [part.name for part in parts_of(outer)]


def test_stored_kernel():
    dense = keras.layers.Dense(3)
    dense.build((None, 2))
    assert stored_kernel(dense) is dense.kernel
    dense.enable_lora(1)
    stored_kernel(dense).assign(np.ones((2, 3)))
    assert_close(dense.kernel, np.ones((2, 3)), atol=1e-6)  # the adapters start at zero


def test_variable_path():
    dense = keras.layers.Dense(3, name="one")
    dense.build((None, 2))
    optimizer = keras.optimizers.SGD()
    optimizer.build(dense.trainable_variables)
    paths = [variable_path(optimizer, variable) for variable in dense.trainable_variables]
    assert paths == ["one/kernel", "one/bias"]


def test_averages_of_updates():
    """1, 0.5 and 0 are the weight's values. Keras alone would add each of them twice."""

    class SGD(AveragesOfUpdates, keras.optimizers.SGD):
        pass

    weight = keras.Variable(1.0)
    optimizer = SGD(0.5, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=2)
    averages = []
    for _ in range(4):
        optimizer.apply([keras.ops.ones(())], [weight])
        averages.append(float(optimizer._model_variables_moving_average[0].numpy()))
    np.testing.assert_allclose(averages[1:], [0.5, 0.5, 0.25], atol=1e-6)


def test_swapped_averages():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    for _ in range(2):  # the first average is the first weights
        model.train_on_batch(np.ones((4, 2)), 3 * np.ones((4, 1)))
    trained, swap = model.get_weights(), SwappedAverages()
    swap.set_model(model)
    swap.on_test_begin()
    averages = model.get_weights()
    swap.on_test_end()
    for a, b, c in zip(trained, model.get_weights(), averages, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)  # TensorFlow swaps by additions
        assert abs(a - c).max() > 1e-3


def test_check_before_quantize():
    dense = keras.layers.Dense(3)
    dense.build((None, 2))

    def check(mode=None, **others):
        if mode == "gptq":
            raise KeyError(mode)

    check_before_quantize(dense, check)
    with pytest.raises(KeyError, match="gptq"):
        dense.quantize("gptq")
    gc.unfreeze()
    searched = []

    def count(phase, info):
        if phase == "start" and info["generation"] == 2:
            searched.append(len(gc.get_objects()))

    kernel, others = weakref.ref(dense._kernel), [[] for _ in range(50_000)]
    gc.callbacks.append(count)
    dense.quantize("int8")
    gc.callbacks.remove(count)
    assert str(dense._kernel.dtype) == "int8"
    assert kernel() is None  # its memory is free, without a search of all objects
    assert searched and max(searched) < len(others) and gc.get_freeze_count() == 0


def test_compile_steps_anew():
    """A loss term that is added after the first `fit` counts."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(inputs))
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    x, y = np.ones((4, 2), "float32"), np.full((4, 1), 2.0, "float32")
    before = model.fit(x, y, verbose=0).history["loss"][0]
    model.layers[-1].activity_regularizer = keras.regularizers.L1(0.5)
    compile_steps_anew(model)
    after = model.fit(x, y, verbose=0).history["loss"][0]
    assert after > before + 0.5


def test_random_seed_dtype():
    seed = keras.ops.convert_to_tensor([1, 2], random_seed_dtype())
    assert keras.random.uniform((2,), seed=keras.random.SeedGenerator(1)).shape == (2,)
    assert keras.backend.standardize_dtype(seed.dtype) == random_seed_dtype()


def test_the_layout_of_weights_files(tmp_path):
    """`weights.tensor_files` reads `layers/GROUP/vars/INDEX`, and the layer's name beside it."""
    import h5py

    model = CRATE(24, 1, 3, input_shape=(16, 16, 3), patch_size=8, classes=2)
    model.save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5") as file:
        groups = {group["vars"].attrs["name"]: group for group in file["layers"].values()}
        assert groups["head"]["vars/0"].shape == (24, 2)
        assert groups["block_0_mssa"]["subspaces/vars/0"].shape == (24, 24)


def test_outside_remat_scopes():
    with keras.RematScope(mode="full") as scope:
        with outside_remat_scopes() as found:
            assert found is scope
            assert keras.layers.Dense(1)._remat_mode is None
        assert keras.layers.Dense(1)._remat_mode.mode == "full"
    with outside_remat_scopes() as found:
        assert found is None


def test_changed_gradients():
    variable = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
    optimizer.build([variable])
    gradient = keras.ops.convert_to_tensor([0.25])
    with changed_gradients(optimizer, lambda gradients: [8 * each for each in gradients]):
        optimizer.apply([gradient], [variable])
    assert_close(variable, [-1.0], atol=1e-6)  # changed to 2, then clipped
    optimizer.apply([gradient], [variable])
    assert_close(variable, [-1.25], atol=1e-6)  # as before


def test_changed_results():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    calls, data = [], (np.zeros((6, 1)), np.zeros((6, 1)))
    with changed_results(model, lambda: calls.append(1)):
        model.fit(*data, batch_size=2, epochs=2, validation_data=data, verbose=0)
    assert len(calls) == 4  # each epoch, and its validation; not each step
    model.evaluate(*data, verbose=0)
    assert len(calls) == 4


def test_changed_moments():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(momentum=0.0)])
    zero, one = keras.ops.zeros((3,)), keras.ops.ones((3,))
    x = np.array([[2.0, 3.0, 4.0]], "float32")
    with changed_moments(model, lambda inputs, axes: (zero, one)):
        assert_close(model(x, training=True), x, atol=1e-2)
    assert_close(model(x, training=True), 0 * x, atol=1e-2)


def test_variables_without_values():
    with variables_without_values():
        layer = keras.layers.Dense(10**6)
        layer.build((None, 10**6))  # 4 TB
    assert layer.kernel.shape == (10**6, 10**6)
    with keras.StatelessScope():  # at its end, Keras gives pending variables values
        pass
