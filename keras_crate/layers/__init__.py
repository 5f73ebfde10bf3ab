"""The layers of the models, one operator per file."""

from keras_crate.layers.cbsa import CBSA
from keras_crate.layers.composite import CompositeLayer
from keras_crate.layers.convolutional_stem import ConvolutionalStem
from keras_crate.layers.fused_ista import FusedISTA
from keras_crate.layers.ista import ISTA
from keras_crate.layers.layer_scale import LayerScale
from keras_crate.layers.mssa import MSSA
from keras_crate.layers.overcomplete_ista import OvercompleteISTA
from keras_crate.layers.patch_embedding import PatchEmbedding
from keras_crate.layers.patch_masking import PatchMasking, PatchNoise
from keras_crate.layers.position_resize import resize_positions
from keras_crate.layers.sincos_positions import sincos_positions
from keras_crate.layers.subspace_layer import SubspaceLayer
from keras_crate.layers.token_embedding import TokenEmbedding
from keras_crate.layers.token_map import TokenMap
from keras_crate.layers.token_pooling import TokenPooling
from keras_crate.layers.tssa import TSSA

__all__ = [
    "CBSA",
    "ISTA",
    "MSSA",
    "TSSA",
    "CompositeLayer",
    "ConvolutionalStem",
    "FusedISTA",
    "LayerScale",
    "OvercompleteISTA",
    "PatchEmbedding",
    "PatchMasking",
    "PatchNoise",
    "SubspaceLayer",
    "TokenEmbedding",
    "TokenMap",
    "TokenPooling",
    "resize_positions",
    "sincos_positions",
]


def __dir__():
    return sorted(__all__)
