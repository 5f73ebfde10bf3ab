"""Optimizers with a factor of the learning rate for each depth of a model."""

import keras

from keras_crate.keras_internals import AveragesOfUpdates, variable_path
from keras_crate.models.blocks import block_number

_STEM = ("patch_embedding", "token_embedding", "patch_masking", "preprocessing")


class _ScaledSteps(AveragesOfUpdates):
    """Mixin for a Keras optimizer: a factor of the learning rate for each depth of the model.

    `scales` are the factors of the stem, of each block and of the rest. By
    default, all are 1. Weight decay is proportional to the scaled rate, and leaves
    out the variables whose paths are in `not_decayed`. If gradients are
    accumulated, moving averages change only at updates.
    """

    def __init__(
        self, *args, scales=(), scaled_weight_decay: float = 0.0, not_decayed=(), **kwargs
    ):
        super().__init__(*args, **kwargs)
        self.scales = tuple(scales)
        self.scaled_weight_decay = scaled_weight_decay
        self.not_decayed = tuple(not_decayed)

    def update_step(self, gradient, variable, learning_rate):
        path, rate = variable_path(self, variable), learning_rate
        if self.scales:
            rate = rate * self.scales[depth_of(path, len(self.scales) - 2)]
        if self.scaled_weight_decay and path not in self.not_decayed:
            factor = keras.ops.cast(rate * self.scaled_weight_decay, variable.dtype)
            self.assign_sub(variable, keras.ops.multiply(variable, factor))
        super().update_step(gradient, variable, rate)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "scales": list(self.scales),
            "scaled_weight_decay": self.scaled_weight_decay,
            "not_decayed": list(self.not_decayed),
        }


@keras.saving.register_keras_serializable(package="keras_crate")
class ScaledLion(_ScaledSteps, keras.optimizers.Lion):
    """Lion with a factor of the learning rate for each depth of the model."""


@keras.saving.register_keras_serializable(package="keras_crate")
class ScaledAdamW(_ScaledSteps, keras.optimizers.AdamW):
    """AdamW with a factor of the learning rate for each depth of the model."""


@keras.saving.register_keras_serializable(package="keras_crate")
class ScaledSGD(_ScaledSteps, keras.optimizers.SGD):
    """SGD with a factor of the learning rate for each depth of the model."""


def depth_of(path: str, blocks: int) -> int:
    """Returns a variable's depth: 0 in the stem, i + 1 in block i, `blocks + 1` elsewhere."""
    number = block_number(path)
    if number is not None:
        return number + 1
    return 0 if any(name in path for name in _STEM) else blocks + 1
