"""The objective at every layer, as training goes on."""

import keras

from keras_crate.objective.layer_measurements import LayerMeasurements
from keras_crate.objective.measure import LayerProbe


class LayerwiseObjective(keras.callbacks.Callback):
    """Measures a few images at every block, at the end of epochs.

    The means enter the logs as `block_0_coding_rate`, `block_0_sparsity` and
    so on, and so `History` and every callback after this one, such as
    `TensorBoard` or `CSVLogger`. All of it is in `measurements`.

    Args:
        images: Array of a few images, the same at every measurement.
        every: Epochs between measurements; the last epoch is measured too
            where it is known.
        batch_size: Images at a time.
        convention: `"authors"` or `"paper"`, as in `measure`.
        eps: As in `measure`.
        penalty: As in `measure`.

    Attributes:
        measurements: `LayerMeasurements` by epoch, counted from 1; 0 is the
            model before training.

    Raises:
        ValueError: If an argument is out of range, or the model that is
            trained cannot be measured.

    Example:

    ```python
    model = keras_crate.CRATE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10)
    model.compile("adamw", "sparse_categorical_crossentropy")
    layerwise = keras_crate.objective.LayerwiseObjective(images)
    model.fit(images, labels, epochs=2, verbose=0, callbacks=[layerwise])
    print(layerwise.measurements[2])
    ```
    """

    def __init__(
        self,
        images,
        every: int = 1,
        batch_size: int = 32,
        convention: str = "authors",
        eps: float | None = None,
        penalty: float = 0.1,
    ):
        super().__init__()
        if not every >= 1:
            raise ValueError(f"`every` must be 1 or more. Received: every={every!r}")
        self.images = images
        self.every = every
        self.batch_size = batch_size
        self.measures = {"convention": convention, "eps": eps, "penalty": penalty}
        self.measurements: dict[int, LayerMeasurements] = {}

    def on_train_begin(self, logs=None):
        self._probe = LayerProbe(self.model, **self.measures)
        if 0 not in self.measurements:
            self.measurements[0] = self._probe(self.images, self.batch_size)

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every and not last:
            return
        measured = self._probe(self.images, self.batch_size)
        self.measurements[epoch + 1] = measured
        for name in ("coding_rate", "sparsity"):
            for block, mean in enumerate(getattr(measured, f"{name}_mean")):
                if logs is not None:
                    logs[f"block_{block}_{name}"] = mean

    def plot(self):
        """The two panels of `LayerMeasurements.plot`, a curve an epoch.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.
        """
        (first, measured), *rest = self.measurements.items()
        return measured.plot(_name(first), {_name(epoch): m for epoch, m in rest})


def _name(epoch: int) -> str:
    return f"epoch {epoch}" if epoch else "untrained"
