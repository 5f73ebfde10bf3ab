"""Writes models for other programs."""

from keras_crate.export.export_model import export_model
from keras_crate.export.formats import FORMATS, format_table

__all__ = ["FORMATS", "export_model", "format_table"]


def __dir__():
    return sorted(__all__)
