"""Images to train and measure on."""

from keras_crate.data.class_folders import labelled_files
from keras_crate.data.distortion import distort
from keras_crate.data.image_files import ImageFiles
from keras_crate.data.shapes import SHAPES, shapes_on_textures
from keras_crate.data.small_sets import ImageSet, load
from keras_crate.data.training_files import TrainingFiles

__all__ = [
    "SHAPES",
    "ImageFiles",
    "ImageSet",
    "TrainingFiles",
    "distort",
    "labelled_files",
    "load",
    "shapes_on_textures",
]
