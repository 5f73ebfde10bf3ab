"""The objective at every layer, as training goes on."""

import os
from pathlib import Path

import keras
import numpy as np

from keras_crate.figure import new_figure
from keras_crate.objective.layer_measurements import LayerMeasurements, draw_curves
from keras_crate.objective.measure import LayerProbe, check_measures


class LayerwiseObjective(keras.callbacks.Callback):
    """Measures a few images at every block, as a model trains.

    The means enter the logs as `block_0_coding_rate`, `block_0_sparsity` and
    so on (in the paper's convention as `block_0_paper_coding_rate`, ..., with
    `paper_rate_reduction` and `paper_objective`), and so `History` and every
    callback after this one, such as `TensorBoard` or `CSVLogger`. All of it is
    in `measurements`. `plot` draws the curves of all times in one figure,
    `animate` as a moving picture.

    Args:
        images: Array of a few images, the same at every measurement. Keras'
            progress bar shows the logs too, two numbers a block: for a deep
            model, `fit(verbose=0)` is easier to read.
        every: Epochs, or steps, between measurements; the last epoch is
            measured too where it is known. The logs of an epoch hold the
            latest measurement.
        unit: What `every` counts: `"epoch"` or `"step"`, of an optimiser.
        batch_size: Images at a time.
        convention: `"authors"` or `"paper"`, as in `measure`.
        eps: As in `measure`.
        penalty: As in `measure`.
        at: As in `measure`.
        frames: Folder, made if it does not exist, into which a picture of the
            curves is written at every measurement, `epoch_0001.png` and so
            on. Needs matplotlib.

    Attributes:
        measurements: `LayerMeasurements` by epoch, or by step, counted from 1;
            0 is the model before training. Another `fit` of the same model
            goes on from `initial_epoch`, or from the last step; one that
            begins at an epoch again replaces what was measured from there on.

    Of a `CRATEMAE`, which hides patches at random, the encoder is measured.

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
        convention: str | None = None,
        eps: float | None = None,
        penalty: float = 0.1,
        unit: str = "epoch",
        frames: str | os.PathLike | None = None,
        at: str | None = None,
    ):
        super().__init__()
        if not every >= 1:
            raise ValueError(f"`every` must be 1 or more. Received: every={every!r}")
        if not hasattr(images, "shape"):
            raise ValueError(
                "`images` must be an array, which is measured again and again. Received: "
                f"{type(images).__name__}"
            )
        if unit not in ("epoch", "step"):
            raise ValueError(f'`unit` must be "epoch" or "step". Received: unit={unit!r}')
        self.images = images
        self.every = every
        self.unit = unit
        self.batch_size = batch_size
        check_measures(convention, at, eps, penalty)
        self.measures = {"convention": convention, "eps": eps, "penalty": penalty, "at": at}
        self.measurements: dict[int, LayerMeasurements] = {}
        self.frames = None if frames is None else Path(frames)
        if self.frames:
            new_figure(1, 1)  # if it cannot draw, it says so before the training
            self.frames.mkdir(parents=True, exist_ok=True)
        self._step = 0
        self._measured = None
        self.async_safe = unit == "epoch"  # Keras need not wait for it at every step

    def on_train_begin(self, logs=None):
        if self._measured is not self.model:
            self.measurements.clear()
            self._step = 0
        self._measured = self.model
        self._probe = None if _encoder(self.model) else LayerProbe(self.model, **self.measures)
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        self._last_batch = -1
        if self._begun:
            return
        self._begun = True
        start = epoch if self.unit == "epoch" else self._step
        for time in [time for time in self.measurements if time > start]:
            del self.measurements[time]
        self._measure(start)  # again, too: weights may have been loaded since

    def on_train_batch_end(self, batch, logs=None):
        if self.unit == "epoch":
            return
        before = self._step
        self._step += batch - self._last_batch  # several, with `steps_per_execution`
        self._last_batch = batch
        if self._step // self.every > before // self.every:
            _add_to(logs, self._measure(self._step))

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.params.get("epochs")
        if self.unit == "epoch" and ((epoch + 1) % self.every == 0 or last):
            self._measure(epoch + 1)
        elif self.unit == "step" and last and self._step not in self.measurements:
            self._measure(self._step)
        _add_to(logs, self.measurements[max(self.measurements)])

    def _measure(self, time: int) -> LayerMeasurements:
        # Naming `self.model` makes Keras bring its weights up to date (JAX).
        encoder = _encoder(self.model)
        probe = LayerProbe(encoder(), **self.measures) if encoder else self._probe
        self.measurements[time] = probe(self.images, self.batch_size)
        if self.frames:
            self._frame(time).savefig(self.frames / f"{self.unit}_{time:04d}.png", dpi=120)
        return self.measurements[time]

    def plot(self):
        """The two panels of `LayerMeasurements.plot`, a curve for each time.

        Of more than six times, six from the first to the last, evenly spaced.

        Returns:
            A `matplotlib.figure.Figure`. Needs matplotlib.

        Raises:
            ValueError: If there is nothing measured yet.
        """
        self._check_measured()
        times = list(self.measurements)
        chosen = sorted({round(k) for k in np.linspace(0, len(times) - 1, 6)})
        first, *rest = (times[k] for k in chosen)
        others = {self._name(time): self.measurements[time] for time in rest}
        return self.measurements[first].plot(self._name(first), others)

    def animate(self, file: str | os.PathLike, seconds: float = 8.0) -> None:
        """Writes the curves' way from the first measurement to the last as a moving picture.

        Args:
            file: Where to: a name that ends in `.gif`, `.webp` or `.png`.
            seconds: How long it runs, > 0; the last picture stays for a quarter
                of it.

        Raises:
            ValueError: If there is nothing measured yet, or an argument is out
                of range.
            ImportError: If matplotlib is not installed.
        """
        self._check_measured()
        if Path(file).suffix.lower() not in (".gif", ".webp", ".png"):
            raise ValueError(
                f"`file` must end in .gif, .webp or .png. Received: file={os.fspath(file)!r}"
            )
        if not seconds > 0:
            raise ValueError(f"`seconds` must be above 0. Received: seconds={seconds!r}")
        new_figure(1, 1)
        from matplotlib.animation import FuncAnimation, PillowWriter

        figure = new_figure(8, 3)
        axes = figure.subplots(1, 2)
        times = list(self.measurements)
        shown = times + [times[-1]] * (len(times) // 3 + 1)

        def draw(time):
            for ax in axes:
                ax.clear()
            self._draw(time, axes, limits=list(self.measurements.values()))

        animation = FuncAnimation(figure, draw, frames=shown, init_func=lambda: None)
        animation.save(os.fspath(file), writer=PillowWriter(fps=len(shown) / seconds), dpi=100)

    def _check_measured(self) -> None:
        if not self.measurements:
            raise ValueError("There is nothing measured yet: train with this callback first.")

    def _frame(self, time: int):
        figure = new_figure(8, 3)
        # The picture is drawn as training goes on: the axes know the past alone.
        self._draw(time, figure.subplots(1, 2), limits=list(self.measurements.values()))
        return figure

    def _draw(self, time: int, axes, limits: list[LayerMeasurements]) -> None:
        """One time's curves over those of the beginning, with the same axes for all."""
        first = min(self.measurements)
        if time != first:
            draw_curves(self.measurements[first], *axes, self._name(first), "0.7")
        draw_curves(self.measurements[time], *axes, self._name(time))
        tops = [
            mean + std
            for m in limits
            for mean, std in zip(m.coding_rate_mean, m.coding_rate_std, strict=True)
        ]
        axes[0].set_ylim(0, 1.05 * max(tops))
        axes[1].set_ylim(0, 1)
        axes[0].legend(frameon=False, loc="lower left")

    def _name(self, time: int) -> str:
        return f"{self.unit} {time}" if time else "before training"


def _encoder(model: keras.Model):
    """What makes the encoder of a masked autoencoder, or None of another model."""
    return getattr(model, "encoder", None)


def _add_to(logs, measured: LayerMeasurements) -> None:
    """Enters the means into Keras' logs."""
    if logs is None:
        return
    names, prefix = ["coding_rate", "sparsity"], ""
    if measured.convention == "paper":  # conventions are never mixed
        names, prefix = [*names, "rate_reduction", "objective"], "paper_"
    for name in names:
        for block, mean in enumerate(getattr(measured, f"{name}_mean")):
            logs[f"block_{block}_{prefix}{name}"] = mean
