"""Images to train and measure on."""

from keras_crate.data.distortion import distort
from keras_crate.data.small_sets import ImageSet, load

__all__ = ["ImageSet", "distort", "load"]
