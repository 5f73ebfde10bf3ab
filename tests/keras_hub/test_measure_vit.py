"""Coding rates of KerasHub's vision transformers, beside those of a CRATE."""

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import compiles_long

hub = pytest.importorskip("keras_hub.models")

from tiny_vits import encoder_layers, tiny_backbone  # noqa: E402

from keras_crate import CRATE, objective  # noqa: E402
from keras_crate.models.view_of import view_of  # noqa: E402


def _value_kernels(model, number):
    weights = encoder_layers(model)[number].weights
    [kernel] = [w for w in weights if w.path.endswith("value/kernel")]
    return keras.ops.convert_to_numpy(kernel).transpose(1, 0, 2)  # (heads, d, p)


def _half_logdet(z, scale):
    return 0.5 * np.linalg.slogdet(np.eye(z.shape[-1]) + scale * np.swapaxes(z, -1, -2) @ z)[1]


def test_rates_against_the_value_projections(model, images):
    measured = objective.measure(model, images, convention="paper")
    block = view_of(model).blocks[1]
    half, output = (
        keras.Model(view_of(model).images, tokens).predict(images, verbose=0).astype("float64")
        for tokens in (block.half_step, block.output)
    )
    n, d, p = half.shape[1], 16, 8
    q, _ = np.linalg.qr(_value_kernels(model, 1).astype("float64"))
    compressed = sum(_half_logdet(half @ u, p / (n * 0.25)) for u in q)
    rate = _half_logdet(half, d / (n * 0.25))
    assert_close(measured.coding_rate_mean[1], compressed.mean(), atol=1e-3)
    assert_close(measured.rate_mean[1], rate.mean(), atol=1e-3)
    assert_close(measured.rate_reduction_mean[1], (rate - compressed).mean(), atol=1e-3)
    assert (output != 0).all()
    assert measured.sparsity_mean == [0, 0] and measured.operator == "tokens"
    assert "non-zeros of tokens" in str(measured)


def test_the_authors_convention_is_that_of_the_normalised_input(model, images):
    measured = objective.measure(model, images)
    view = view_of(model)
    inputs = keras.Model(view.images, view.blocks[0].inputs).predict(images, verbose=0)
    expected = objective.subspace_coding_rate(
        inputs, _value_kernels(model, 0), convention="authors"
    )
    assert_close(measured.coding_rate_mean[0], expected.mean(), atol=1e-3)


def test_a_crate_and_a_classifier_in_one_plot(model, images):
    pytest.importorskip("matplotlib")
    shape = tuple(images.shape[1:])
    crate = CRATE(16, 2, 2, input_shape=shape, patch_size=8, classes=3)
    of_crate, of_vit = (objective.measure(m, images, convention="paper") for m in (crate, model))
    rates, nonzero, *_ = of_crate.plot("CRATE", {"ViT": of_vit}).axes
    assert_close(rates.lines[3].get_ydata(), of_vit.coding_rate_mean, atol=1e-12)
    assert nonzero.get_ylabel() == "share of non-zeros of ISTA, tokens"


def test_adapted_and_quantised_projections():
    attention = view_of(tiny_backbone("ViTBackbone")).blocks[0].attention
    value = attention.layer.value_dense
    value.enable_lora(2)
    before = keras.ops.convert_to_numpy(attention.subspace_bases())
    value.lora_kernel_b.assign(np.full(value.lora_kernel_b.shape, 0.5))
    adapted = keras.ops.convert_to_numpy(attention.subspace_bases())
    assert np.abs(adapted - before).max() > 1e-3
    assert_close(adapted, keras.ops.convert_to_numpy(value.kernel).transpose(1, 0, 2), atol=1e-6)
    value.quantize("int8")
    quantised = keras.ops.convert_to_numpy(attention.subspace_bases())
    assert 0 < np.abs(quantised - adapted).max() < 0.02


def test_the_encoder_of_a_dinov2_is_not_that_of_a_masked_autoencoder(rng):
    model = tiny_backbone("DINOV2Backbone")
    layerwise = objective.LayerwiseObjective(rng.uniform(-1, 1, (1, 32, 32, 3)))
    layerwise.set_model(model)
    layerwise.on_train_begin()
    layerwise.on_epoch_begin(0)
    assert len(layerwise.measurements[0].coding_rate_mean) == 2


@compiles_long
def test_a_classifier_is_measured_while_it_trains(rng):
    classifier = hub.ViTImageClassifier(tiny_backbone("ViTBackbone"), 3, activation="softmax")
    classifier.compile("adam", "sparse_categorical_crossentropy")
    images = rng.uniform(-1, 1, (3, 32, 24, 3)).astype("float32")
    layerwise = objective.LayerwiseObjective(images, convention="paper")
    classifier.fit(images, np.arange(3), verbose=0, callbacks=[layerwise])
    before, after = (layerwise.measurements[epoch].coding_rate_mean for epoch in (0, 1))
    assert before != after
