import itertools

import keras
import numpy as np
import pytest
from compare import assert_close
from layer_checks import gradients
from marks import TORCH

from keras_crate.layers import MSSA, attention

jax_only = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX has this form")


def _oracle(w):
    """Attention and, for the sum of its outputs times `g`, the gradient, in float64."""
    w = w.astype("float64")
    p = w.shape[-1]
    scores = w @ w.swapaxes(-1, -2) / np.sqrt(p)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores, scores @ w


def _oracle_gradient(w, g):
    """By query, key and value each, and summed: the tied gradient is not used."""
    scores, _ = _oracle(w)
    w, g = w.astype("float64"), g.astype("float64")
    by_scores = g @ w.swapaxes(-1, -2)
    by_logits = scores * (by_scores - (by_scores * scores).sum(axis=-1, keepdims=True))
    by_logits /= np.sqrt(w.shape[-1])
    return by_logits @ w + by_logits.swapaxes(-1, -2) @ w + scores.swapaxes(-1, -2) @ g


@pytest.mark.parametrize("form", attention.FORMS)
def test_every_form_agrees_with_the_equation(form, rng):
    w = rng.normal(size=(2, 3, 7, 4)).astype("float32")
    found = attention.subspace_attention(keras.ops.convert_to_tensor(w), form)
    assert_close(found, _oracle(w)[1], atol=1e-5)


@pytest.mark.parametrize("form", attention.FORMS)
def test_every_form_has_the_gradient_of_the_equation(form, rng):
    w, g = (rng.normal(size=(2, 3, 7, 4)).astype("float32") for _ in range(2))

    def loss(w):
        return keras.ops.sum(attention.subspace_attention(w, form) * keras.ops.convert_to_tensor(g))

    (found,) = gradients(loss, w)
    assert_close(found, _oracle_gradient(w, g), atol=1e-5)


@pytest.mark.parametrize("form", attention.FORMS)
def test_large_scores_do_not_overflow(form):
    w = np.full((1, 1, 3, 4), 100.0, "float32")
    w[0, 0, 1] *= -1
    found = attention.subspace_attention(keras.ops.convert_to_tensor(w), form)
    assert_close(found, w, atol=1e-4)


def test_the_form_is_chosen_by_backend_tokens_and_precision():
    backend = keras.backend.backend()
    expected = {
        "torch": {"torch", "plain"},
        "tensorflow": {"plain", "tied"},
        "jax": {"plain", "tied", "late", "tied_late"},
    }[backend]
    chosen = {
        attention.attention_form(tokens, dtype, training)
        for tokens in (None, 5, 1025, 4097)
        for dtype in ("float32", "bfloat16")
        for training in (False, True)
    }
    assert chosen == expected


@pytest.mark.skipif(not TORCH, reason="the rule is for PyTorch's kernel")
def test_pytorch_leaves_its_kernel_for_few_tokens_in_half_precision_in_training():
    for case in itertools.product(
        (5, 1025, 4097), ("float32", "float16", "bfloat16"), (False, True)
    ):
        tokens, dtype, training = case
        expected = "plain" if tokens < 4097 and dtype != "float32" and training else "torch"
        assert attention.attention_form(*case) == expected, case


def test_accelerators_take_a_kernel(monkeypatch):
    monkeypatch.setattr(attention, "_accelerator", lambda backend: True)
    assert attention.attention_form(197, "bfloat16", True) in ("kernel", "torch")


class _Device:
    def __init__(self, capability):
        self.compute_capability = capability


@jax_only
@pytest.mark.parametrize(
    ("capability", "tokens", "dtype", "training", "distribution", "expected"),
    [
        ("9.0", 197, "bfloat16", True, None, "padded"),
        ("9.0", 197, "float16", True, None, "padded"),
        ("9.0", 197, "bfloat16", True, "data", "tied"),
        ("9.0", 196, "bfloat16", True, None, "kernel"),
        ("9.0", None, "bfloat16", True, None, "kernel"),
        ("9.0", 197, "float32", True, None, "kernel"),
        ("9.0", 197, "float64", True, None, "kernel"),
        ("9.0", 197, "bfloat16", False, None, "kernel"),
        ("7.5", 197, "bfloat16", True, None, "kernel"),
        ("gfx90a", 197, "bfloat16", True, None, "kernel"),
    ],
)
def test_jax_pads_an_odd_number_of_tokens_to_train_on_a_gpu(
    capability, tokens, dtype, training, distribution, expected, monkeypatch
):
    monkeypatch.setattr(attention, "_accelerator", lambda backend: True)
    monkeypatch.setattr("jax.devices", lambda: [_Device(capability)])
    monkeypatch.setattr("keras.distribution.distribution", lambda: distribution)
    assert attention.attention_form(tokens, dtype, training) == expected


@jax_only
def test_the_padded_form_with_a_kernel_that_a_cpu_has(rng):
    w, g = (rng.normal(size=(2, 3, 7, 4)).astype("float32") for _ in range(2))

    def loss(w):
        outputs = attention._padded(w, implementation="xla")
        return keras.ops.sum(outputs * keras.ops.convert_to_tensor(g))

    found = attention._padded(keras.ops.convert_to_tensor(w), implementation="xla")
    assert_close(found, _oracle(w)[1], atol=1e-5)
    (found,) = gradients(loss, w)
    assert_close(found, _oracle_gradient(w, g), atol=1e-5)


@pytest.mark.parametrize("tokens", [5, 300])
def test_training_and_inference_agree_with_the_scores(tokens, rng):
    z = rng.normal(size=(2, tokens, 8)).astype("float32")
    layer = MSSA(2)
    expected, _ = layer(z, return_attention_scores=True)
    for training in (None, False, True):
        assert_close(layer(z, training=training), expected, atol=1e-5)
