"""The published sizes by width and depth."""

import pytest

from keras_crate.weights.sizes import constructor_of

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("dimensions", "constructor"),
    [
        (("CRATE", 384, 12), "CRATETiny"),
        (("CRATE", 1024, 24), "CRATELarge"),
        (("CRATEAlpha", 768, 12), "CRATEAlphaBase"),
        (("CRATE", 768, 24), None),
        (("CRATE", 1024, 12), None),
        (("CRATE", 192, 12), None),
    ],
)
def test_the_constructor_of_a_width_and_a_depth(dimensions, constructor):
    assert constructor_of(*dimensions) == constructor
