"""The sparse rate reduction: its terms, and their measurement inside a model."""

from keras_crate.objective.layer_measurements import LayerMeasurements
from keras_crate.objective.layerwise_objective import LayerwiseObjective
from keras_crate.objective.measure import measure
from keras_crate.objective.rates import (
    coding_rate,
    rate_reduction,
    sparse_rate_reduction,
    sparsity,
    subspace_coding_rate,
)
from keras_crate.objective.regularizer import SparseRateReduction
from keras_crate.objective.simdino import SimDINOLoss, simdino_loss

__all__ = [
    "LayerMeasurements",
    "LayerwiseObjective",
    "SimDINOLoss",
    "SparseRateReduction",
    "coding_rate",
    "measure",
    "rate_reduction",
    "simdino_loss",
    "sparse_rate_reduction",
    "sparsity",
    "subspace_coding_rate",
]


def __dir__():
    return sorted(__all__)
