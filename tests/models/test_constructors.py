"""The defaults of all constructors."""

import inspect

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
OTHERS = {"CRATEAlphaLarge": {"patch_size": 14}, "CRATEAlphaHuge": {"patch_size": 14}}

NAMES = {
    "CRATETiny": "crate_tiny", "CRATESmall": "crate_small", "CRATEBase": "crate_base",
    "CRATELarge": "crate_large", "CRATEAlphaBase": "crate_alpha_base",
    "CRATEAlphaLarge": "crate_alpha_large", "CRATEAlphaHuge": "crate_alpha_huge",
    "CBTTiny": "cbt_tiny", "CBTSmall": "cbt_small", "CBTBase": "cbt_base",
    "CBTLarge": "cbt_large", "CRATEMAETiny": "crate_mae_tiny",
    "CRATEMAESmall": "crate_mae_small", "CRATEMAEBase": "crate_mae_base",
    "CRATEMAELarge": "crate_mae_large",
}  # fmt: skip


@pytest.mark.parametrize("name", [*FAMILIES, *SIZES])
def test_defaults(name):
    parameters = inspect.signature(getattr(keras_crate, name)).parameters.values()
    found = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    family = max((family for family in FAMILIES if name.startswith(family)), key=len)
    assert found.pop("name") == NAMES.get(name)
    assert found == FAMILIES[family] | OTHERS.get(name, {})
