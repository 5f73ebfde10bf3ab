"""Images to train and measure on."""

from keras_crate.data.distortion import distort
from keras_crate.data.image_files import ImageFiles
from keras_crate.data.shapes import SHAPES, shapes_on_textures
from keras_crate.data.small_sets import ImageSet, load

__all__ = ["SHAPES", "ImageFiles", "ImageSet", "distort", "load", "shapes_on_textures"]
