"""Models saved under one backend and loaded under another.

Every test run writes what its backend saves into the folder that
`KERAS_CRATE_EXCHANGE` names, and reads what others left there. The last
environment of tox reads again under each backend, when all three have
written, so that every pair is compared.
"""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from compare import assert_close

import keras_crate

BACKENDS = ("jax", "tensorflow", "torch")
OWN = keras.backend.backend()
COMPLETE = os.environ.get("KERAS_CRATE_EXCHANGE_COMPLETE") == "1"


def _images():
    return np.random.default_rng(3).uniform(0, 255, (2, 224, 224, 3)).astype("float32")


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
        model.quantize("int8")
        model.save(folder / f"{OWN}-int8.keras")
        int8 = model.predict(_images(), verbose=0)
        np.savez(folder / f"{OWN}.npz", logits=logits, int8=int8)
    return folder


@pytest.mark.parametrize("other", BACKENDS)
def test_logits_of_a_tiny_agree(other, exchange):
    if not COMPLETE and not (exchange / f"{other}.npz").exists():
        pytest.skip(f"no model saved under {other} here; tox's last environment compares all")
    expected = np.load(exchange / f"{other}.npz")
    model = keras.saving.load_model(exchange / f"{other}.keras")
    assert model.class_names[0] == "tench"
    assert np.abs(expected["logits"]).max() > 0.1
    assert_close(model.predict(_images(), verbose=0), expected["logits"], atol=1e-4)
    weights = exchange / f"{other}.weights.h5"
    model = keras_crate.CRATETiny(weights=weights, classifier_activation=None)
    assert_close(model.predict(_images(), verbose=0), expected["logits"], atol=1e-4)
    model = keras.saving.load_model(exchange / f"{other}-int8.keras")
    # Rounding to int8 turns the last digit of float32 into a step now and then.
    found = model.predict(_images(), verbose=0)
    assert np.linalg.norm(found - expected["int8"]) < 0.02 * np.linalg.norm(expected["int8"])
