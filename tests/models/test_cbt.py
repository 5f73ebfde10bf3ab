import keras
import numpy as np
import pytest
from authors import golden, images_of, load_cbt_state, state_of
from compare import assert_close
from disturb import disturb
from family import FamilyChecks

import keras_crate
from keras_crate import CBT, CRATE, interpret
from keras_crate.layers import CBSA

_GOLDEN = {
    "cbt_micro": {
        "dim": 64,
        "depth": 2,
        "heads": 4,
        "input_shape": (160, 160, 3),
        "patch_size": 16,
        "classes": 11,
    },
    "cbt_patch8_micro": {
        "dim": 32,
        "depth": 2,
        "heads": 2,
        "input_shape": (48, 48, 3),
        "patch_size": 8,
        "classes": 7,
    },
}


class TestCBT(FamilyChecks):
    operators = ("block_0_cbsa", "block_0_ista")
    bigger = {"dim": 32}
    parameter_counts = (
        ("CBTTiny", {}, 1_789_192),
        ("CBTSmall", {}, 6_667_048),
        ("CBTBase", {}, 25_691_752),
        ("CBTLarge", {}, 83_051_368),
    )
    golden_cases = tuple(_GOLDEN.items())

    def build(self, **overrides):
        small = {
            "dim": 24,
            "depth": 2,
            "heads": 2,
            "input_shape": (16, 16, 3),
            "patch_size": 8,
            "classes": 5,
        }
        return CBT(**{**small, **overrides})

    def load_authors_state(self, model, state):
        load_cbt_state(model, state)

    def test_the_attention_that_the_authors_draw(self):
        for name, arguments in _GOLDEN.items():
            arrays = golden(name)
            model = self.build(include_preprocessing=False, **arguments)
            load_cbt_state(model, state_of(arrays))
            found = interpret.attention_maps(model, images_of(arrays), token=None)
            assert_close(found, arrays["attention_last"], atol=2e-5)
