"""A callback that measures compression and sparsity at every block during training."""

import inspect
import os
from pathlib import Path

import keras
import numpy as np

from keras_crate.checks import (
    check_above_zero,
    check_choice,
    check_not_negative,
    check_positive,
    names_arguments,
)
from keras_crate.figure import legend_beside, new_figure
from keras_crate.objective.layer_measurements import MEASURED_AT, LayerMeasurements, draw_curves
from keras_crate.objective.measure import Measurer
from keras_crate.objective.rates import check_eps


class LayerwiseObjective(keras.callbacks.Callback):
    """Measures compression and sparsity at every block while a model trains.

    The means enter the logs as `block_0_coding_rate`, `block_0_sparsity` and so
    on (in the paper's convention as `block_0_paper_coding_rate`, ..., with
    `paper_rate_reduction` and `paper_objective`). `History` and the callbacks
    after this one, such as `TensorBoard` or `CSVLogger`, record them. Keras'
    progress bar shows them too: use `fit(verbose=0)` for a deep model.

    For a `CRATEMAE`, which hides patches at random, the encoder is measured.

    Args:
        images: Array of a few images, the same at every measurement.
        every: Number of epochs, or steps, between measurements. The end of
            training is measured too. The logs of an epoch hold the latest
            measurement.
        unit: What `every` counts: `"epoch"`, or `"step"` of the optimizer.
        batch_size: Number of images in a batch.
        convention, eps, penalty: As in `measure`.
        frames: Folder for a figure of the curves at every measurement,
            `epoch_0001.png` and so on. It is made if it does not exist. Needs
            matplotlib.

    Attributes:
        measurements: `LayerMeasurements` by epoch, or by step, counted from 1.
            0 is the model before training. Another `fit` of the same model
            continues from `initial_epoch`, or from the last step. If it starts
            at an earlier epoch, it replaces the measurements after that epoch.

    Raises:
        ValueError: If an argument is out of range, or `fit` is called on a
            model that cannot be measured.

    Example:

    ```python
    model = keras_crate.CRATE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10)
    model.compile("adamw", "sparse_categorical_crossentropy")
    layerwise = keras_crate.objective.LayerwiseObjective(images)
    model.fit(images, labels, epochs=2, verbose=0, callbacks=[layerwise])
    print(layerwise.measurements[2])
    ```
    """

    @names_arguments
    def __init__(
        self,
        images,
        every: int = 1,
        batch_size: int = 32,
        convention: str = "authors",
        eps: float | None = None,
        penalty: float = 0.1,
        unit: str = "epoch",
        frames: str | os.PathLike | None = None,
    ):
        super().__init__()
        if not hasattr(images, "shape"):
            raise ValueError(
                "`images` must be an array, since it is measured repeatedly. Received: "
                f"{type(images).__name__}"
            )
        self.images = images
        self.every = check_positive("every", every)
        self.unit = check_choice("unit", unit, ("epoch", "step"))
        self.batch_size = batch_size
        self.settings = {
            "convention": check_choice("convention", convention, MEASURED_AT),
            "eps": check_eps(eps, convention),
            "penalty": check_not_negative("penalty", penalty),
        }
        self.measurements: dict[int, LayerMeasurements] = {}
        self.frames = None if frames is None else Path(frames)
        if self.frames:
            new_figure(1, 1)  # fails here, not during training, if matplotlib is missing
            self.frames.mkdir(parents=True, exist_ok=True)
        self._step = 0
        self._measured_model = None
        self.async_safe = unit == "epoch"  # Keras then need not wait for it at every step

    def on_train_begin(self, logs=None):
        if self._measured_model is not self.model:
            self.measurements.clear()
            self._step = 0
        self._measured_model = self.model
        # Kept, since a new one would be compiled at each measurement.
        self._measurer = None if _is_masked(self.model) else Measurer(self.model, **self.settings)
        self._is_first_epoch = True

    def on_epoch_begin(self, epoch, logs=None):
        self._last_batch = -1
        if not self._is_first_epoch:
            return
        self._is_first_epoch = False
        start = epoch if self.unit == "epoch" else self._step
        self.measurements = {time: m for time, m in self.measurements.items() if time < start}
        self._measure(start)  # the weights may have been replaced since the last `fit`

    def on_train_batch_end(self, batch, logs=None):
        if self.unit == "epoch":
            return
        before = self._step
        self._step += batch - self._last_batch  # several, with `steps_per_execution`
        self._last_batch = batch
        if self._step // self.every > before // self.every:
            _add_to(logs, self._measure(self._step))

    def on_epoch_end(self, epoch, logs=None):
        is_last = epoch + 1 == self.params.get("epochs")
        if self.unit == "epoch" and ((epoch + 1) % self.every == 0 or is_last):
            self._measure(epoch + 1)
        elif self.unit == "step" and is_last and self._step not in self.measurements:
            self._measure(self._step)
        _add_to(logs, self.measurements[max(self.measurements)])

    def _measure(self, time: int) -> LayerMeasurements:
        model = self.model  # under JAX, reading it makes Keras update the model's weights
        measurer = self._measurer or Measurer(model.encoder(), **self.settings)
        self.measurements[time] = measurer(self.images, self.batch_size)
        if self.frames:
            figure = new_figure(8, 3)
            self._draw(time, figure.subplots(1, 2))
            figure.savefig(self.frames / f"{self.unit}_{time:04d}.png", dpi=120)
        return self.measurements[time]

    def plot(self):
        """Draws the two panels of `LayerMeasurements.plot` with a curve for each time.

        At most six times are drawn, evenly spaced from first to last.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.

        Raises:
            ValueError: If nothing is measured yet.
        """
        times = self._times()
        chosen = sorted({round(k) for k in np.linspace(0, len(times) - 1, 6)})
        first, *rest = (times[k] for k in chosen)
        others = {self._name(time): self.measurements[time] for time in rest}
        return self.measurements[first].plot(self._name(first), others)

    def animate(self, file: str | os.PathLike, seconds: float = 8.0) -> None:
        """Writes an animation of the curves from the first measurement to the last.

        Args:
            file: File to write: a name that ends in `.gif`, `.webp` or `.png`.
            seconds: Duration, > 0. The last picture is shown for a quarter of it.

        Raises:
            ValueError: If nothing is measured yet, or an argument is out of
                range.
            ImportError: If matplotlib is not installed.
        """
        times = self._times()
        if Path(file).suffix.lower() not in (".gif", ".webp", ".png"):
            raise ValueError(
                f"`file` must end in .gif, .webp or .png. Received: file={os.fspath(file)!r}"
            )
        check_above_zero("seconds", seconds)
        figure = new_figure(8, 3)
        from matplotlib.animation import FuncAnimation, PillowWriter

        axes = figure.subplots(1, 2)
        frames = times + [times[-1]] * (len(times) // 3 + 1)

        def draw(time):
            for ax in axes:
                ax.clear()
            self._draw(time, axes)

        animation = FuncAnimation(figure, draw, frames=frames, init_func=lambda: None)
        animation.save(os.fspath(file), writer=PillowWriter(fps=len(frames) / seconds), dpi=100)

    def _times(self) -> list[int]:
        if not self.measurements:
            raise ValueError("Nothing is measured yet. Train a model with this callback first.")
        return list(self.measurements)

    def _draw(self, time: int, axes) -> None:
        """Draws the curves of one time over those of the first, on axes that fit all times."""
        first = min(self.measurements)
        if time != first:
            draw_curves(self.measurements[first], *axes, label=self._name(first), colour="0.7")
        draw_curves(self.measurements[time], *axes, label=self._name(time))
        top = max(
            np.add(m.coding_rate_mean, m.coding_rate_std).max() for m in self.measurements.values()
        )
        axes[0].set_ylim(0, 1.05 * top)
        axes[1].set_ylim(0, 1)
        legend_beside(axes[1])

    def _name(self, time: int) -> str:
        return f"{self.unit} {time}" if time else "before training"


def _is_masked(model: keras.Model) -> bool:
    """Whether the model is a masked autoencoder, whose encoder is measured."""
    return inspect.ismethod(getattr(model, "encoder", None))  # a layer in KerasHub's DINOv2


def _add_to(logs, measured: LayerMeasurements) -> None:
    """Adds the means to Keras' logs."""
    if logs is None:
        return
    names, prefix = ["coding_rate", "sparsity"], ""
    if measured.convention == "paper":
        names, prefix = [*names, "rate_reduction", "objective"], "paper_"
    for name in names:
        for block, mean in enumerate(getattr(measured, f"{name}_mean")):
            logs[f"block_{block}_{prefix}{name}"] = mean
