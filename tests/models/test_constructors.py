"""The defaults of all constructors."""

import inspect
import re

import pytest

import keras_crate
from keras_crate.weights.sizes import SIZES

pytestmark = pytest.mark.any_backend

COMMON = {
    "input_shape": None, "patch_size": 16, "include_preprocessing": True, "weights": None,
    "mean": None, "std": None, "dropout_rate": 0.0, "drop_path_rate": 0.0, "layer_scale": None,
    "registers": 0, "input_tensor": None, "data_format": None, "dtype": None,
    "rematerialise": False, "step_size": 0.1, "penalty": 0.1,
}  # fmt: skip
CLASSIFIER = {
    "classes": 1000, "class_names": None, "include_top": True, "pooling": "token",
    "classifier_activation": "softmax",
}  # fmt: skip
MASKED = {"mask_ratio": 0.75, "norm_pix_loss": False, "seed": None, "penalty": 0.5}
FAMILIES = {
    "CRATE": COMMON | CLASSIFIER | {"compress": "mssa", "sparsify": "ista", "stem": "linear"},
    "CRATEAlpha": COMMON | CLASSIFIER | {
        "ratio": 4, "decoupled": True, "residual": True, "epsilon": None
    },
    "CBT": COMMON | CLASSIFIER | {"representatives": (8, 8)},
    "CRATEMAE": COMMON | MASKED,
    "CRATEMAEEncoder": COMMON | CLASSIFIER | {"penalty": 0.5},
}  # fmt: skip
# The last letter of capitals begins a word: CRATEAlphaBase is crate_alpha_base.
SNAKE = re.compile("(?<=.)((?<=[A-Z])[A-Z](?=[a-z])|(?<=[a-z])[A-Z]|MAE)")
OTHERS = {"CRATEAlphaLarge": {"patch_size": 14}, "CRATEAlphaHuge": {"patch_size": 14}}


@pytest.mark.parametrize("name", [*FAMILIES, *SIZES])
def test_defaults(name):
    parameters = inspect.signature(getattr(keras_crate, name)).parameters.values()
    found = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    family = max((family for family in FAMILIES if name.startswith(family)), key=len)
    model_name = None if name in FAMILIES else SNAKE.sub(r"_\g<0>", name).lower()
    assert found == FAMILIES[family] | OTHERS.get(name, {}) | {"name": model_name}
