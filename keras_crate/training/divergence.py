"""Stops a run whose loss is not finite, before anything is saved, and finds out where it began."""

from collections.abc import Callable, Iterable

import keras
import numpy as np

from keras_crate.models.inside import first_broken_layer
from keras_crate.training.checkpoints import Backup
from keras_crate.training.epoch_seeds import EpochSeeds


class TrainingDiverged(ValueError):
    """The loss became NaN or infinite. The model has the weights of the last good epoch."""


class FiniteLoss(keras.callbacks.Callback):
    """Raises `TrainingDiverged` as soon as the loss is NaN or infinite.

    To name the first layer that went wrong, the epoch is gone through again
    from its backup up to the step where it happened: batches and chance are
    the same, and the weights before that step are known so.

    Args:
        backup: What holds the weights at the epoch's beginning.
        seeds: What gives layers their chance.
        batches_of: Function from an epoch to its batches (images, labels).
        say: What is called with a line of text.
    """

    def __init__(
        self,
        backup: Backup,
        seeds: EpochSeeds,
        batches_of: Callable[[int], Iterable],
        say: Callable[[str], None] = print,
    ):
        super().__init__()
        self.backup, self.seeds, self.batches_of, self.say = backup, seeds, batches_of, say
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # or the variables hold buffers that are gone
        self._stop(f"The loss became {loss} at step {batch + 1} of epoch {self.epoch + 1}", batch)

    def on_epoch_end(self, epoch, logs=None):
        # What the last step did to the weights, no loss of the epoch has seen.
        if self._broken_weights():
            self._stop(f"Weights became NaN or infinite at the end of epoch {epoch + 1}", None)

    def _stop(self, what: str, last: int | None) -> None:
        """Raises, once the cause is known. Stands before what saves."""
        self.say(f"{what}. Going through the epoch again, to find the layer.")
        cause = self._cause(last)
        self.backup.restore()
        raise TrainingDiverged(
            f"{what}: {cause}. The "
            f"model is as it was after {self.epoch} epochs, and so are the files in "
            f"{self.backup.folder.parent}. Lower `learning_rate`, lengthen `warmup_epochs` or set "
            "`clip_norm`, and begin a new run."
        )

    def _cause(self, last: int | None) -> str:
        self.backup.restore()
        self.seeds.on_epoch_begin(self.epoch)
        self.model.reset_metrics()
        for number, (images, labels) in enumerate(self.batches_of(self.epoch)):
            if not np.isfinite(np.asarray(images)).all():
                return "the batch has pixels that are NaN or infinite"
            if self._broken_weights():
                return self._by_gradient(number)
            if number == last:
                broken = first_broken_layer(self.model, images)
                if broken is not None:
                    return f"first in {broken}"
                return "all layers gave finite outputs; it is the loss of them that is not finite"
            self.model.train_on_batch(images, labels)
        if last is None and self._broken_weights():
            return self._by_gradient(number + 1)
        return "it could not be repeated, so that no layer can be named"

    def _by_gradient(self, step: int) -> str:
        first, *others = self._broken_weights()
        more = f", and {len(others)} more" if others else ""
        return f"the gradient of step {step} made the weights {first} NaN or infinite{more}"

    def _broken_weights(self) -> list[str]:
        return [
            weight.path
            for weight in self.model.trainable_variables
            if not np.isfinite(keras.ops.convert_to_numpy(weight).astype("float32")).all()
        ]
