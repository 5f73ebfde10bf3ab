"""Architectures built from the layers."""

from keras_crate.models.class_names import decode_predictions
from keras_crate.models.crate import CRATE, CRATEBase, CRATELarge, CRATESmall, CRATETiny

__all__ = ["CRATE", "CRATEBase", "CRATELarge", "CRATESmall", "CRATETiny", "decode_predictions"]
