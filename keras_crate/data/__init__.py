"""Images for training, validation and test."""

from keras_crate.data.augmentation import Augmentation
from keras_crate.data.batches import EvaluationBatches, TrainingBatches
from keras_crate.data.garments import garments
from keras_crate.data.image_files import ImageFiles
from keras_crate.data.image_sources import LabelledImages
from keras_crate.data.open_data import open_data
from keras_crate.data.rand_augment import rand_augment
from keras_crate.data.small_sets import load
from keras_crate.data.tf_batches import training_dataset

__all__ = [
    "Augmentation",
    "EvaluationBatches",
    "ImageFiles",
    "LabelledImages",
    "TrainingBatches",
    "garments",
    "load",
    "open_data",
    "rand_augment",
    "training_dataset",
]


def __dir__():
    return sorted(__all__)
