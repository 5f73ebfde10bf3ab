"""The white-box operators: one to a file."""

from keras_crate.layers.ista import ISTA
from keras_crate.layers.mssa import MSSA
from keras_crate.layers.patch_embedding import PatchEmbedding
from keras_crate.layers.position_resize import resize_positions
from keras_crate.layers.token_embedding import TokenEmbedding
from keras_crate.layers.token_pooling import TokenPooling

__all__ = [
    "ISTA",
    "MSSA",
    "PatchEmbedding",
    "TokenEmbedding",
    "TokenPooling",
    "resize_positions",
]
