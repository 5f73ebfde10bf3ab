"""Looks inside a model: attention, tokens, principal components, objects."""

from keras_crate.interpret.attention import attention_maps, rollout
from keras_crate.interpret.figures import (
    head_atlas,
    plot_attention_maps,
    plot_intermediates,
    plot_rollout,
    plot_segments,
    plot_token_pca,
)
from keras_crate.interpret.intermediates import intermediates
from keras_crate.interpret.pca import TokenPCA, pca_features, token_pca
from keras_crate.interpret.pyramid import feature_pyramid
from keras_crate.interpret.segmentation import segment, segment_features
from keras_crate.models.model_view import BlockView, ModelView

__all__ = [
    "BlockView",
    "ModelView",
    "TokenPCA",
    "attention_maps",
    "feature_pyramid",
    "head_atlas",
    "intermediates",
    "pca_features",
    "plot_attention_maps",
    "plot_intermediates",
    "plot_rollout",
    "plot_segments",
    "plot_token_pca",
    "rollout",
    "segment",
    "segment_features",
    "token_pca",
]


def __dir__():
    return sorted(__all__)
