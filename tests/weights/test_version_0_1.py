"""Files that version 0.1 wrote still load, with the outputs that they had then."""

from pathlib import Path

import keras
import numpy as np
import pytest
from compare import assert_close
from marks import needs_int8_configurations

import keras_crate
from keras_crate.weights.assign import load_weights

FOLDER = Path(__file__).parent / "version_0_1"
FAMILIES = ("crate", "crate_alpha", "crate_mae", "crate_mae_encoder")
# plain: compiled and trained, saved on JAX. fused: by `fuse`, on PyTorch. int8: with
# adapters of LoRA and quantised, on TensorFlow.
FORMS = ("plain", "fused", pytest.param("int8", marks=needs_int8_configurations))


def _outputs(model, images, noise):
    if isinstance(model, keras_crate.CRATEMAE):
        return model.predict_with_noise(images, noise)["patches"]
    return model.predict(images, verbose=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_of_version_0_1(family, form):
    with np.load(FOLDER / f"outputs_{form}.npz") as expected:
        images, noise, outputs = (expected[k] for k in ("images", "noise", family))
    model = keras.saving.load_model(FOLDER / f"{family}_{form}.keras")
    model.jit_compile = False  # JAX wrote the plain ones: PyTorch would compile for 30 seconds
    # Integers are rounded anew on each backend.
    assert_close(_outputs(model, images, noise), outputs, atol=2e-2 if form == "int8" else 1e-5)
    if form == "plain":
        assert model.optimizer is not None
        again = type(model).from_config(model.get_config())
        load_weights(again, FOLDER / f"{family}_{form}.keras")
        assert_close(_outputs(again, images, noise), outputs, atol=1e-5)
