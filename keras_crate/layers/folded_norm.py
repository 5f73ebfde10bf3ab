"""MSSA, TSSA and CBSA that hold the scale and offset of the normalisation before them."""

import keras
from keras import ops

from keras_crate.layers.cbsa import CBSA
from keras_crate.layers.mssa import MSSA
from keras_crate.layers.subspace_layer import SubspaceLayer
from keras_crate.layers.tssa import TSSA


class FoldedNorm(SubspaceLayer):
    """Mixin for a `SubspaceLayer` whose projection holds a normalisation's scale and offset.

    The projection is `z diag(gamma) U + beta U` for a token `z` of mean 0 and
    variance 1. `keras_crate.fuse` makes such layers and computes the product.

    Weights: `norm_scale` is gamma and `norm_offset` is beta, of shape `(d,)`.
    The output does not need them. They are kept to return `U` and the normalised
    input.
    """

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.norm_scale = self.add_weight(
            name="norm_scale", shape=shape, initializer="ones", trainable=False
        )
        self.norm_offset = self.add_weight(
            name="norm_offset", shape=shape, initializer="zeros", trainable=False
        )
        super().build(input_shape)

    def has_subspace_bias(self) -> bool:
        return True

    def subspace_bases(self):
        """Returns `U_1 ... U_K` without the scale. Rows with a scale of 0 are 0."""
        bases = super().subspace_bases()
        scale = ops.cast(self.norm_scale, bases.dtype)[:, None]
        return ops.where(scale == 0, 0.0, bases / ops.where(scale == 0, 1.0, scale))

    def normalized(self, inputs):
        """Returns the inputs with scale and offset, the input of the unfused operator."""
        inputs = ops.convert_to_tensor(inputs)
        scale, offset = (ops.cast(w, inputs.dtype) for w in (self.norm_scale, self.norm_offset))
        return inputs * scale + offset


@keras.saving.register_keras_serializable(package="keras_crate")
class FusedMSSA(FoldedNorm, MSSA):
    """`MSSA` of a fused model."""


@keras.saving.register_keras_serializable(package="keras_crate")
class FusedTSSA(FoldedNorm, TSSA):
    """`TSSA` of a fused model."""


@keras.saving.register_keras_serializable(package="keras_crate")
class FusedCBSA(FoldedNorm, CBSA):
    """`CBSA` of a fused model."""


# Keras stores a layer's variables under the name of its class. These names keep files of fused
# models of version 0.1 readable.
FusedMSSA.__name__ = MSSA.__name__
FusedTSSA.__name__ = TSSA.__name__
