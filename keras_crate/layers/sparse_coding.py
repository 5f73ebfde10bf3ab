"""The base of the operators that make tokens sparse in a learned dictionary."""

import keras

from keras_crate.checks import check_above_zero, check_not_negative
from keras_crate.layers.composite import CompositeLayer, matrix_of


class SparseCoding(CompositeLayer):
    """Base of the layers with a dictionary `D`, a step size eta and a penalty lambda."""

    def __init__(self, step_size: float, penalty: float, dictionary_initializer, **kwargs):
        super().__init__(**kwargs)
        self.step_size = check_above_zero("step_size", step_size)
        self.penalty = check_not_negative("penalty", penalty)
        self.dictionary_initializer = keras.initializers.get(dictionary_initializer)

    def make_dictionary(self, name: str, input_shape, units: int, initializer):
        # A Dense layer holds a dictionary, so that it takes LoRA and quantisation.
        linear = {"units": units, "use_bias": False, "kernel_initializer": initializer}
        return self.make_sublayer(keras.layers.Dense, name, input_shape, **linear)

    def dictionary_matrix(self):
        """Returns `D` of shape `(d, atoms)`, adapted by LoRA and dequantised."""
        return matrix_of(self.dictionary, self.dim, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "step_size": self.step_size,
            "penalty": self.penalty,
            "dictionary_initializer": keras.initializers.serialize(self.dictionary_initializer),
        }
