"""Writes models for other programs."""

from keras_crate.export.export_model import check_path, export_model
from keras_crate.export.formats import FORMATS, check_format, format_table

__all__ = ["FORMATS", "check_format", "check_path", "export_model", "format_table"]


def __dir__():
    return sorted(__all__)
