"""The base of layers that consist of Keras layers."""

import contextlib
import functools
import types

import keras

from keras_crate.checks import names_arguments
from keras_crate.layers.dense import Dense

# Settings that freezing, `quantize` and `enable_lora` change after a layer is made.
_SETTINGS = (
    "dtype", "lora_rank", "lora_alpha", "quantization_config", "identity_apart", "sublayers"
)  # fmt: skip


def changed_settings(layer: keras.layers.Layer) -> dict:
    """Returns the settings of a layer that changed after it was built.

    A quantised layer, or one with LoRA, has other variables than a new layer.
    The layer or model that contains it stores these settings in its own
    configuration and builds the layer with them. Without them, saved weights
    would not fit the variables.
    """
    config = layer.get_config()
    settings = {k: config[k] for k in _SETTINGS if config.get(k)}
    if layer.weights and not layer.trainable:
        settings["trainable"] = False
    if getattr(layer.dtype_policy, "quantization_mode", None) is None:
        settings.pop("dtype", None)
    return settings


def restored_settings(settings: dict | None) -> dict:
    """Turns `changed_settings` read from a file into constructor arguments."""
    settings = dict(settings or {})
    if "quantization_config" in settings:
        settings["quantization_config"] = keras.saving.deserialize_keras_object(
            settings["quantization_config"]
        )
    return settings


def matrix_of(dense: keras.layers.Dense, inputs: int, dtype: str):
    """Returns the kernel `(inputs, units)` of a Dense layer, adapted by LoRA and dequantised.

    The kernel of an `EinsumDense` on `(batch, n, inputs)` is returned in its own shape.
    """
    if getattr(dense, "quantization_mode", None) is None:
        return keras.ops.cast(dense.kernel, dtype)
    # In every mode, the matrix of a map is its output for the identity.
    matrix = dense(keras.ops.eye(inputs, dtype=dtype)[None])[0]
    return matrix if dense.bias is None else matrix - keras.ops.cast(dense.bias, matrix.dtype)


class CompositeLayer(keras.layers.Layer):
    """A layer made of Keras layers. When saved, they keep quantisation and adapters of LoRA.

    Use it as the base of your own operators. Make the sublayers in `build`, with
    `make_sublayer`.

    Args:
        sublayers: Settings of sublayers by name, which `get_config` wrote. For
            `from_config` only.
        rematerialise: Whether intermediate results are computed again for the
            gradient instead of kept (`keras.RematScope`).
            This takes less memory and more time. Do not use it for layers that
            draw random numbers or update statistics in training, since they
            would do so twice.
        **kwargs: `name`, `dtype`, `trainable`, as in `keras.layers.Layer`.

    Example:

    ```python
    @keras.saving.register_keras_serializable()
    class Rebuild(keras_crate.layers.CompositeLayer):
        def build(self, input_shape):
            self.dictionary = self.make_sublayer(
                keras.layers.Dense, "dictionary", input_shape, units=input_shape[-1]
            )
            self.built = True

        def call(self, inputs):
            return keras.ops.relu(self.dictionary(inputs))

    model = keras_crate.CRATE(
        24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10, sparsify=Rebuild
    )
    ```
    """

    # False in a layer whose weights are loaded after it is built: drawing initial values takes
    # longer than loading.
    _draws_initial_values = True

    @names_arguments
    def __init__(self, *, sublayers: dict | None = None, rematerialise: bool = False, **kwargs):
        # Keras reads the scope here. It does not store it in files or clones.
        scope = keras.RematScope(mode="full") if rematerialise else contextlib.nullcontext()
        with scope:
            super().__init__(**kwargs)
        self.rematerialise = rematerialise
        self._sublayer_settings = sublayers or {}
        self._made = types.SimpleNamespace()  # Keras would track a dict, and save it twice

    def make_sublayer(self, layer_class, name: str, input_shape, **arguments):
        """Makes and builds a sublayer, which the caller must store as an attribute.

        A `keras.layers.Dense` is made as a `Dense` of this package, which is saved
        exactly if it is quantised and has adapters of LoRA.
        """
        if layer_class is keras.layers.Dense:
            layer_class = Dense
        arguments = {
            "dtype": self.dtype_policy,
            **arguments,
            **restored_settings(self._sublayer_settings.get(name)),
        }
        layer = layer_class(name=name, **arguments)
        if self._draws_initial_values or layer_class is not Dense:
            layer.build(input_shape)
        else:
            initializer = layer.kernel_initializer
            layer.kernel_initializer = keras.initializers.Zeros()
            layer.build(input_shape)
            layer.kernel_initializer = initializer
        setattr(self._made, name, layer)
        return layer

    def rematerialized_call(self, fn, *args, **kwargs):
        """Keras calls this in a `keras.RematScope`."""
        # Keras would pass `training` to the backend as if it were a tensor.
        call = super().rematerialized_call(functools.partial(fn, **kwargs), *args)
        return lambda *tensors, **_: call(*tensors)

    def get_config(self) -> dict:
        config = super().get_config()
        if self.rematerialise:  # else left out, so that subclasses need not take it
            config["rematerialise"] = True
        changed = {name: changed_settings(layer) for name, layer in vars(self._made).items()}
        sublayers = {name: settings for name, settings in changed.items() if settings}
        if not self.built:
            sublayers = self._sublayer_settings
        if sublayers:
            config["sublayers"] = dict(sublayers)
        return config
