"""The models, built from the layers."""

from keras_crate.models import published_names  # noqa: F401, registers the names
from keras_crate.models.cbt import CBT, CBTBase, CBTLarge, CBTSmall, CBTTiny
from keras_crate.models.class_names import decode_predictions
from keras_crate.models.crate import CRATE, CRATEBase, CRATELarge, CRATESmall, CRATETiny
from keras_crate.models.crate_alpha import (
    CRATEAlpha,
    CRATEAlphaBase,
    CRATEAlphaHuge,
    CRATEAlphaLarge,
)
from keras_crate.models.crate_mae import (
    CRATEMAE,
    CRATEMAEBase,
    CRATEMAELarge,
    CRATEMAESmall,
    CRATEMAETiny,
)
from keras_crate.models.crate_mae_encoder import CRATEMAEEncoder
from keras_crate.models.fuse import fuse

__all__ = [
    "CBT",
    "CRATE",
    "CRATEMAE",
    "CBTBase",
    "CBTLarge",
    "CBTSmall",
    "CBTTiny",
    "CRATEAlpha",
    "CRATEAlphaBase",
    "CRATEAlphaHuge",
    "CRATEAlphaLarge",
    "CRATEBase",
    "CRATELarge",
    "CRATEMAEBase",
    "CRATEMAEEncoder",
    "CRATEMAELarge",
    "CRATEMAESmall",
    "CRATEMAETiny",
    "CRATESmall",
    "CRATETiny",
    "decode_predictions",
    "fuse",
]


def __dir__():
    return sorted(__all__)
