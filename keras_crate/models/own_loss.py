"""Compiling models that have a loss of their own, since they learn without labels."""

import keras

from keras_crate.models.saving import public_optimizers


class OwnLoss:
    """Mixin for a Keras model with its own `compute_loss`. It comes before the model's class."""

    optimizer: keras.optimizers.Optimizer
    trainable_variables: list

    def compile(self, optimizer="adamw", loss=None, metrics=None, **options) -> None:
        """As `keras.Model.compile`, without loss and metrics: the model has its own loss.

        Raises:
            ValueError: If a loss or metrics are given.
        """
        given = {"loss": loss, "metrics": metrics, **options}
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if given.get(name):
                raise ValueError(
                    f"A {type(self).__name__} is trained and evaluated by its own loss: compile it "
                    f"without `{name}`. Received: {name}={given[name]!r}"
                )
        super().compile(optimizer=optimizer, **options)

    def compile_from_config(self, config: dict) -> None:
        """Compiles a loaded model, which Keras does not do for a class with its own `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict:
        return public_optimizers(super().get_compile_config())
