"""FusedISTA: the sparse coding step as one linear map."""

import keras
import numpy as np
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.keras_internals import stored_kernel
from keras_crate.layers.dense import Dense


@keras.saving.register_keras_serializable(package="keras_crate")
class FusedISTA(Dense):
    """ISTA, with the scale and offset of the normalisation before it, as one Dense layer.

    For a token `z` of mean 0 and variance 1, with the normalisation's scale
    `gamma` and offset `beta`, ISTA is

        relu( z K + b )   with   K = diag(gamma) A,   b = beta A - eta lambda,
                                 A = I + eta (D - D^T D)

    `keras_crate.fuse` computes `K` and `b`. In a quantised layer, the identity
    in `K` would use up the range of the integers. The identity is then kept
    apart. In

        relu( gamma z + z (K - diag(gamma)) + b )

    only the second term is quantised. Modes: `"int8"`, `"int4"` and `"float8"`,
    if this version of Keras has them.

    Args:
        units: Token width d.
        identity_apart: Whether the identity is kept apart. For `from_config`
            only.
        **kwargs: As in `keras.layers.Dense`, without `activation`.

    Call arguments:
        inputs: Tokens of shape `(..., d)`, of mean 0 and variance 1.

    Returns:
        Tokens of shape `(..., d)`, non-negative, many of them exactly zero.

    Weights: `kernel` is `K` of shape `(d, d)`, or `K - diag(gamma)` if the
    identity is kept apart; `bias` is `b`; `skip` is `gamma`.

    Raises:
        ValueError: If `units` is not the tokens' width.

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

    @names_arguments
    def __init__(self, units: int, *, identity_apart: bool = False, **kwargs):
        super().__init__(units, activation=None, **kwargs)  # ReLU is applied in `_finish`
        self.identity_apart = identity_apart

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
        return self._finish(inputs, super().call(inputs, training=training))

    def quantized_call(self, inputs, training=None):
        return self._finish(inputs, super().quantized_call(inputs, training=training))

    def _finish(self, inputs, outputs):
        if self.identity_apart:
            outputs = outputs + inputs * ops.cast(self.skip, inputs.dtype)
        return ops.relu(outputs)

    def quantize(self, mode=None, type_check=True, **kwargs):
        """Quantises the layer, with the identity kept apart, as `keras.layers.Dense.quantize`."""
        config = kwargs.get("config")
        if getattr(config, "mode", mode) not in ("int8", "int4", "float8"):
            raise NotImplementedError(
                f"{self.name} cannot be quantised by mode {getattr(config, 'mode', mode)!r}."
            )
        if not self.identity_apart:
            # Without adapters of LoRA, which Keras keeps as they are.
            kernel = ops.convert_to_numpy(stored_kernel(self)).astype("float64")
            stored_kernel(self).assign(kernel - np.diag(ops.convert_to_numpy(self.skip)))
            self.identity_apart = True
        super().quantize(mode, **kwargs)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["skip"] = self.skip

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.skip.assign(store["skip"])

    def get_config(self) -> dict:
        config = super().get_config()
        config.pop("activation")
        return {**config, "identity_apart": self.identity_apart}

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        if "residual_form" in config:  # its name in version 0.1
            config["identity_apart"] = config.pop("residual_form")
        return super().from_config(config)
