"""A schedule of the learning rate for an optimizer that accumulates gradients."""

import keras


@keras.saving.register_keras_serializable(package="keras_crate")
class CosineOfUpdates(keras.optimizers.schedules.CosineDecay):
    """A `CosineDecay` that counts updates, of `accumulate` steps each.

    Keras' optimizers pass the number of steps to a schedule, even if they change the weights only
    at every `accumulate`-th step.
    """

    def __init__(self, *args, accumulate: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        self.accumulate = accumulate

    def __call__(self, step):
        return super().__call__(keras.ops.floor_divide(step, self.accumulate))

    def get_config(self) -> dict:
        return {**super().get_config(), "accumulate": self.accumulate}
