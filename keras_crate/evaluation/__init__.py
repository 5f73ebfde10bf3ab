"""How images are prepared for a model, and the accuracy of classifiers and of features."""

from keras_crate.evaluation.accuracy import accuracy
from keras_crate.evaluation.features import features_of, knn_accuracy, linear_accuracy
from keras_crate.evaluation.labelled_folder import LabelledFolder
from keras_crate.evaluation.many_images import write_features, write_predictions
from keras_crate.evaluation.on_ray import write_features_on_ray, write_predictions_on_ray
from keras_crate.evaluation.preparation import Evaluation
from keras_crate.evaluation.ray_options import RayOptions
from keras_crate.evaluation.scores import Scores

__all__ = [
    "Evaluation",
    "LabelledFolder",
    "RayOptions",
    "Scores",
    "accuracy",
    "features_of",
    "knn_accuracy",
    "linear_accuracy",
    "write_features",
    "write_features_on_ray",
    "write_predictions",
    "write_predictions_on_ray",
]


def __dir__():
    return sorted(__all__)
