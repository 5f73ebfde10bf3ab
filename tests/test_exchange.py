"""Models saved under one backend and loaded under another.

Every test run writes what its backend saves into the folder that
`KERAS_CRATE_EXCHANGE` names. When all three have written, the last
environments of tox read under each backend, so that every pair is compared.
Without this variable, a run reads what it wrote itself.
"""

import functools
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from compare import assert_close
from hub_client import MODELS, HubClient
from hub_server import HubServer

import keras_crate

BACKENDS = ("jax", "tensorflow", "torch")
OWN = keras.backend.backend()
COMPLETE = os.environ.get("KERAS_CRATE_EXCHANGE_COMPLETE") == "1"


def _images():
    return np.random.default_rng(3).uniform(0, 255, (2, 224, 224, 3)).astype("float32")


SMALL = {"input_shape": (32, 32, 3), "patch_size": 8}
LOGITS = {"classes": 10, "classifier_activation": None, **SMALL}
FAMILIES = {
    "crate": lambda: keras_crate.CRATE(48, 2, 4, **LOGITS),
    "alpha": lambda: keras_crate.CRATEAlpha(48, 2, 4, layer_scale=0.1, **LOGITS),
    "exchanged": lambda: keras_crate.CRATE(
        48, 2, 4, compress="tssa", sparsify="overcomplete_ista", **LOGITS
    ),
    "cbt": lambda: keras_crate.CBT(48, 2, 4, **LOGITS),
    "mae": lambda: keras_crate.CRATEMAE(48, 2, 4, **SMALL),
}


def _outputs(model):
    images = _images()[:, :32, :32]
    if isinstance(model, keras_crate.CRATEMAE):
        noise = np.random.default_rng(4).uniform(size=(2, 16)).astype("float32")
        return model.predict_with_noise(images, noise)["patches"]
    return model.predict(images, verbose=0)


def _loss(model):
    """A sum of the outputs with fixed factors, in training: operators have other forms there."""
    images = _images()[:, :32, :32]
    if isinstance(model, keras_crate.CRATEMAE):
        noise = np.random.default_rng(4).uniform(size=(2, 16)).astype("float32")
        masking = model.get_layer("patch_masking")
        before, after = model._around(masking)
        hidden, _ = masking.hide(before(images, training=True), noise, masking.ratio)
        outputs = after(hidden, training=True)["patches"]
    else:
        outputs = model(images, training=True)
    factors = np.random.default_rng(5).normal(size=outputs.shape).astype("float32")
    return keras.ops.sum(keras.ops.multiply(outputs, factors))


def _gradients(name, model):
    """Gradients of the loss by the trainable weights, as float32 arrays."""
    weights = model.trainable_variables
    if OWN == "jax":
        found = _compiled_gradients(name)([w.value for w in weights])
    elif OWN == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = _loss(model)
        found = tape.gradient(loss, [w.value for w in weights])
    else:
        import torch

        found = torch.autograd.grad(_loss(model), [w.value for w in weights])
    return [keras.ops.convert_to_numpy(gradient) for gradient in found]


@functools.cache
def _compiled_gradients(name):
    """For any weights of a family's model: JAX compiles them once."""
    import jax

    model = FAMILIES[name]()

    def loss(values):
        with keras.StatelessScope(zip(model.trainable_variables, values, strict=True)):
            return _loss(model)

    return jax.jit(jax.grad(loss))


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    given = os.environ.get("KERAS_CRATE_EXCHANGE")
    folder = Path(given) if given else tmp_path_factory.mktemp("exchange")
    folder.mkdir(parents=True, exist_ok=True)
    if not COMPLETE:
        keras.utils.set_random_seed(BACKENDS.index(OWN))
        model = keras_crate.CRATETiny(classifier_activation=None, class_names="imagenet")
        logits = model.predict(_images(), verbose=0)
        model.save(folder / f"{OWN}.keras")
        model.save_weights(folder / f"{OWN}.weights.h5")
        family = {}
        for name, make in FAMILIES.items():
            model = make()
            model.save(folder / f"{OWN}-{name}.keras")
            family[name] = _outputs(model)
            flat = [gradient.ravel() for gradient in _gradients(name, model)]
            family[f"{name}_gradients"] = np.concatenate(flat)
        model = FAMILIES["crate"]()
        model.quantize("int8")
        model.save(folder / f"{OWN}-int8.keras")
        family["int8"] = _outputs(model)
        family["hub"] = _publish(folder / "hub")
        np.savez(folder / f"{OWN}.npz", logits=logits, **family)
    return folder


def _publish(storage: Path):
    """Publishes a model on a Hub whose repositories stay in a folder."""
    with HubServer(storage) as hub, HubClient(hub, storage / OWN) as client:
        return client(
            MODELS + "model = trained(3)\n"
            f'keras_crate.hub.push(model, "hf://writer/{OWN}")\n'
            "result = model.predict(images, verbose=0)"
        )


@pytest.fixture(params=BACKENDS)
def other(request, exchange):
    if not COMPLETE and (request.param != OWN or "KERAS_CRATE_EXCHANGE" in os.environ):
        pytest.skip("tox's last environments read what each backend wrote")
    return request.param


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_agrees(name, other, exchange):
    """Logits to 1e-4, and gradients to 1e-4 of each weight's largest."""
    expected = np.load(exchange / f"{other}.npz")
    model = keras.saving.load_model(exchange / f"{other}-{name}.keras")
    assert np.abs(expected[name]).max() > 0.1
    assert_close(_outputs(model), expected[name], atol=1e-4)
    found, flat = _gradients(name, model), expected[f"{name}_gradients"]
    ends = np.cumsum([gradient.size for gradient in found])
    assert ends[-1] == flat.size
    for weight, ours, theirs in zip(
        model.trainable_variables, found, np.split(flat, ends[:-1]), strict=True
    ):
        # The sum over all tokens hides a change of one of them: some gradients are zero but for
        # rounding.
        largest = max(np.abs(theirs).max(), 1e-4 * np.abs(flat).max())
        assert np.abs(ours.ravel() - theirs).max() < 1e-4 * largest, weight.path


def test_logits_of_a_tiny_agree(other, exchange):
    expected = np.load(exchange / f"{other}.npz")
    model = keras.saving.load_model(exchange / f"{other}.keras")
    assert model.class_names[0] == "tench"
    assert np.abs(expected["logits"]).max() > 0.1
    assert_close(model.predict(_images(), verbose=0), expected["logits"], atol=1e-4)
    weights = exchange / f"{other}.weights.h5"
    model = keras_crate.CRATETiny(weights=weights, classifier_activation=None)
    assert_close(model.predict(_images(), verbose=0), expected["logits"], atol=1e-4)


def test_a_published_model_agrees(other, exchange, tmp_path):
    expected = np.load(exchange / f"{other}.npz")["hub"]
    with HubServer(exchange / "hub") as hub, HubClient(hub, tmp_path, token=None) as client:
        pull = f'model = keras_crate.hub.pull("hf://writer/{other}")\n'
        found = client(MODELS + pull + "result = model.predict(images, verbose=0)")
    assert_close(found, expected, atol=1e-4)


def test_an_int8_model_agrees(other, exchange):
    expected = np.load(exchange / f"{other}.npz")["int8"]
    model = keras.saving.load_model(exchange / f"{other}-int8.keras")
    assert "int8" in {str(w.dtype) for w in model.weights}
    # Rounding to int8 turns the last digit of float32 into a step now and then.
    assert np.linalg.norm(_outputs(model) - expected) < 0.02 * np.linalg.norm(expected)
