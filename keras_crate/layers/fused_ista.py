"""FusedISTA: the sparse coding step as one linear map."""

import keras
import numpy as np
from keras import ops

from keras_crate.keras_internals import stored_kernel
from keras_crate.layers.affine import torch_affine


@keras.saving.register_keras_serializable(package="keras_crate")
class FusedISTA(keras.layers.Dense):
    """ISTA, and the scale and offset of the normalisation before it, as one Dense layer.

    For a token `z` that is normalised, but for its scale `gamma` and offset
    `beta`, ISTA's bracket is linear:

        relu( z K + b )   with   K = diag(gamma) A,   b = beta A - eta lambda,
                                 A = I + eta (D - D^T D)

    `keras_crate.fuse` computes `K` and `b`. The layer can be quantised: it then
    turns to its residual form, since the identity in `K` would take up the
    integers' range,

        relu( gamma z + z (K - diag(gamma)) + b ),

    of which only the second term is quantised. Modes: `"int8"`, `"int4"` and
    `"float8"`, where Keras has them.

    Args:
        units: Token width d.
        residual_form: Whether the layer is in the residual form. Not meant to
            be passed by hand.
        **kwargs: As in `keras.layers.Dense`, but for `activation`.

    Call arguments:
        inputs: Tokens of shape `(..., d)`, of mean 0 and variance 1.

    Returns:
        Tokens of shape `(..., d)`, non-negative, many of them exactly zero.

    Weights: `kernel` is `K` of shape `(d, d)`, in the residual form
    `K - diag(gamma)`; `bias` is `b`; `skip` is `gamma`.

    Raises:
        ValueError: If an activation is given, or `units` is not the tokens' width.

    Example:

    ```python
    fused = keras_crate.fuse(model)
    fused.get_layer("block_0_ista").kernel
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 2.4, for the step itself.
    """

    residual = False

    def __init__(self, units: int, *, residual_form: bool = False, **kwargs):
        if kwargs.get("activation") is not None:
            raise ValueError(
                "FusedISTA has its own activation, ReLU. Received: "
                f"activation={kwargs['activation']!r}"
            )
        super().__init__(units, **kwargs)
        self.residual_form = residual_form

    def build(self, input_shape):
        if input_shape[-1] != self.units:
            raise ValueError(
                "`units` must be the width of the tokens. Received: "
                f"units={self.units} and input shape {tuple(input_shape)}"
            )
        # First: Keras takes no weights after LoRA's, which it adds as it builds.
        self.skip = self.add_weight(
            name="skip", shape=(self.units,), initializer="ones", trainable=False
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        # Not `affine`, which would call this layer.
        if keras.backend.backend() == "torch":
            return self._finish(inputs, torch_affine(self, inputs))
        return self._finish(inputs, super().call(inputs, training=training))

    def quantized_call(self, inputs, training=None):
        return self._finish(inputs, super().quantized_call(inputs, training=training))

    def _finish(self, inputs, outputs):
        if self.residual_form:
            outputs = outputs + inputs * ops.cast(self.skip, inputs.dtype)
        return ops.relu(outputs)

    def quantize(self, mode=None, type_check=True, **kwargs):
        """As `keras.layers.Dense.quantize`, in the residual form."""
        config = kwargs.get("config")
        if getattr(config, "mode", mode) not in ("int8", "int4", "float8"):
            raise NotImplementedError(
                f"{self.name} cannot be quantised by mode {getattr(config, 'mode', mode)!r}."
            )
        if not self.residual_form:
            # Without adapters of LoRA, which stay beside it.
            kernel = ops.convert_to_numpy(stored_kernel(self)).astype("float64")
            stored_kernel(self).assign(kernel - np.diag(ops.convert_to_numpy(self.skip)))
            self.residual_form = True
        # Keras checks the type to leave out layers that call themselves otherwise.
        super().quantize(mode, type_check=False, **kwargs)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["skip"] = self.skip

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.skip.assign(store["skip"])

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("activation")
        return {**config, "residual_form": self.residual_form}
