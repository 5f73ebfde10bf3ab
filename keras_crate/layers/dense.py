"""Dense: the linear map inside the package's layers."""

import contextlib
import contextvars
from collections.abc import Iterator

import keras

_apart = contextvars.ContextVar("adapters are saved apart", default=False)


@contextlib.contextmanager
def adapters_apart() -> Iterator[None]:
    """In its `with` statement, models are saved with adapters of LoRA apart, to train them on."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


@keras.saving.register_keras_serializable(package="keras_crate")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` whose adapters of LoRA can be trained after loading.

    Keras adds the adapters to the kernel when it saves, and sets them to 0 when it loads: both
    would have no gradients. Here, loaded adapters have new initial values, which add nothing.
    Of a quantised layer, and by `adapters_apart`, the file has kernel and adapters apart. (The
    sum would be rounded anew.) The loaded layer has both.
    """

    def call(self, inputs, training=None):
        plain = self.activation is keras.activations.linear
        if keras.backend.backend() != "torch" or not plain:
            return super().call(inputs, training=training)
        import torch

        # In one pass. Keras adds the bias in a second one, 5 % of the time of a CRATE-B on a CPU.
        # It casts only within a layer's call; a rematerialised gradient is computed later.
        inputs, kernel, bias = (
            None if x is None else keras.ops.convert_to_tensor(x, dtype=self.compute_dtype)
            for x in (inputs, self.kernel, self.bias)
        )
        return torch.nn.functional.linear(inputs, kernel.T, bias)

    def quantize(self, mode=None, type_check=True, **kwargs):
        super().quantize(mode, type_check=False, **kwargs)  # Keras refuses subclasses

    def save_own_variables(self, store):
        apart = self.lora_enabled and (_apart.get() or self.quantization_mode is not None)
        if not apart:
            super().save_own_variables(store)
            return
        self.lora_enabled = False
        try:
            super().save_own_variables(store)
        finally:
            self.lora_enabled = True
        store["lora_kernel_a"] = self.lora_kernel_a
        store["lora_kernel_b"] = self.lora_kernel_b

    def load_own_variables(self, store):
        has_adapters = "lora_kernel_a" in store
        if has_adapters and not self.lora_enabled:
            rank = store["lora_kernel_a"].shape[-1]
            raise ValueError(
                f"The saved weights of {self.path} have adapters of LoRA, and this layer has none. "
                f"Call `model.enable_lora({rank})` first, or load the .keras file by "
                "`keras.saving.load_model`."
            )
        super().load_own_variables(store)
        if has_adapters:
            self.lora_kernel_a.assign(store["lora_kernel_a"])
            self.lora_kernel_b.assign(store["lora_kernel_b"])
        elif self.lora_enabled and self.built:
            initial = keras.initializers.HeUniform()(self.lora_kernel_a.shape)  # as in Keras
            self.lora_kernel_a.assign(initial)
