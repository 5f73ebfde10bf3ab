"""Stops a run if its loss or weights are not finite, and finds the cause."""

import keras
import numpy as np

from keras_crate.models.inside import first_broken_layer
from keras_crate.training.checkpoints import Backup
from keras_crate.training.epoch_seeds import EpochSeeds
from keras_crate.training.prepared_batches import PreparedInput
from keras_crate.training.simdino import SimDINO
from keras_crate.training.training_input import TrainingInput


class TrainingDiverged(ValueError):
    """The loss became NaN or infinite. The model has the weights of the last good epoch."""


class FiniteLoss(keras.callbacks.Callback):
    """Raises `TrainingDiverged` at the end of an epoch whose loss or weights are not finite.

    No step waits for its loss: Keras hands the losses to this callback from
    other threads, which ask `fit` to stop. To name the first broken layer, the
    epoch is then repeated from its backup, with the same batches and random
    numbers, up to the step that went wrong. On several devices, it is not repeated.
    """

    async_safe = True  # else Keras waits for every callback at each step

    def __init__(
        self,
        backup: Backup,
        seeds: EpochSeeds,
        batches: TrainingInput | PreparedInput | None,
        is_alone: bool = True,
    ):
        super().__init__()
        self.backup, self.seeds, self.batches, self.is_alone = backup, seeds, batches, is_alone
        self.losses: dict[int, float] = {}  # those that are not finite, by step; of one device

    def set_model(self, model):
        super().set_model(model)
        # JAX's `self.model` moves the weights into the model, which no other thread may do.
        self.trained = model

    def on_train_batch_end(self, batch, logs=None):
        loss = logs.get("loss", 0.0)
        if self.is_alone and not np.isfinite(loss):
            self.losses[batch] = loss
            self.trained.stop_training = True

    def on_test_begin(self, logs=None):
        if self.losses:
            self.model.stop_evaluating = True  # after one batch; the result is not used

    def on_epoch_end(self, epoch, logs=None):
        if self.losses:  # all threads have finished
            step = min(self.losses)
            what = f"The loss became {self.losses[step]} at step {step + 1} of epoch {epoch + 1}"
            self._stop(what, epoch, step)
        # Processes must do the same steps. A step's loss is of one of them, the epoch's of all.
        if not self.is_alone and not np.isfinite(logs["loss"]):
            self._stop(f"The loss became {logs['loss']} in epoch {epoch + 1}", epoch, None)
        if self._broken_weights():  # no loss shows the epoch's last step
            what = f"Weights became NaN or infinite at the end of epoch {epoch + 1}"
            self._stop(what, epoch, None)

    def _stop(self, what: str, epoch: int, last: int | None) -> None:
        if self.is_alone:
            self.batches.options.say(f"{what}. The epoch is repeated to find the layer.")
            cause = self._cause(epoch, last)
        else:
            cause = "train on one device to find the layer"
        self.backup.restore()
        raise TrainingDiverged(
            f"{what}: {cause}.\n"
            f"The model and the files in {self.backup.folder.parent} are as after {epoch} epochs.\n"
            "Lower `learning_rate`, lengthen `warmup_epochs` or set `clip_norm`, and begin a new "
            "run."
        )

    def _cause(self, epoch: int, last: int | None) -> str:
        """Repeats an epoch, up to the step `last` or to its end."""
        self.backup.restore()
        self.seeds.on_epoch_begin(epoch)
        self.model.reset_metrics()
        step = 0
        for step, (images, *others) in enumerate(self.batches.of_epoch(epoch)):
            if not np.isfinite(np.asarray(images)).all():
                return "the batch has pixels that are NaN or infinite"
            if broken := self._broken_weights():
                return f"the gradient of step {step} made the weights {broken} NaN or infinite"
            if step == last:
                is_simdino = isinstance(self.trained, SimDINO)
                network = self.trained.student if is_simdino else self.model
                layer = first_broken_layer(network, images)
                if layer is None:
                    return "the outputs of all layers are finite, and their loss is not"
                return f"first in {layer}"
            self.model.train_on_batch(images, *others)
        if broken := self._broken_weights():
            return f"the gradient of step {step + 1} made the weights {broken} NaN or infinite"
        return "the error did not occur again, so no layer can be named"

    def _broken_weights(self) -> str:
        """Names the first trainable weights that are not finite, and counts the others."""
        broken = [
            weight.path
            for weight in self.model.trainable_variables
            if not keras.ops.all(keras.ops.isfinite(weight))  # NumPy may see a part
        ]
        if not broken:
            return ""
        return broken[0] + (f" and {len(broken) - 1} more" if broken[1:] else "")
