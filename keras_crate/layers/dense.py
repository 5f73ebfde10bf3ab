"""Dense: the linear map inside the package's layers."""

import keras


@keras.saving.register_keras_serializable(package="keras_crate")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` that is saved exactly if it is quantised and has adapters of LoRA.

    Keras adds the adapters to the kernel when it saves. It would round a quantised
    kernel anew, and the loaded model would have other outputs. Here, the file has
    kernel and adapters apart, and the loaded layer has both.

    Args:
        **kwargs: As in `keras.layers.Dense`.
    """

    def quantize(self, mode=None, type_check=True, **kwargs):
        super().quantize(mode, type_check=False, **kwargs)  # Keras refuses subclasses

    def save_own_variables(self, store):
        apart = self.lora_enabled and self.quantization_mode is not None
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
        has_adapters = "lora_kernel_a" in store.keys()  # noqa: SIM118 (Keras 3.8)
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
