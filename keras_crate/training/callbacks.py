"""The callbacks of a run, and the reason for their order."""

import keras

from keras_crate.distributed.devices import Devices
from keras_crate.keras_internals import SwappedAverages
from keras_crate.training.checkpoints import Backup, Checkpoints
from keras_crate.training.divergence import FiniteLoss
from keras_crate.training.epoch_seeds import EpochSeeds
from keras_crate.training.history import RunHistory
from keras_crate.training.prepared_batches import PreparedInput
from keras_crate.training.progress import RichProgress, Throughput
from keras_crate.training.recipe import Recipe
from keras_crate.training.run_folder import RunFolder
from keras_crate.training.trackers import WandbRecord, tensorboard
from keras_crate.training.training_input import TrainingInput


def callbacks_of(
    recipe: Recipe,
    batches: TrainingInput | PreparedInput,
    folder: RunFolder,
    history: RunHistory,
    backup: Backup,
    devices: Devices,
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run, in the order in which Keras calls them."""
    options = batches.options
    is_alone = devices.replicas == devices.processes == 1
    pydataset = batches.for_fit if batches.pipeline == "pydataset" else None
    seeds = EpochSeeds(options.seed, devices, pydataset)
    averages = SwappedAverages() if recipe.ema else None
    writes = devices.is_writer
    callbacks = [
        # First: the others may draw random numbers.
        seeds,
        # Before the callbacks that write: an epoch that diverged is not recorded.
        FiniteLoss(backup, seeds, batches, is_alone),
        # Before callbacks that may read the weights in an evaluation, which are the averages.
        averages,
        # Before the callbacks that read an epoch's values: it adds two values.
        Throughput(batches.images_per_epoch),
        # Before the checkpoints, which ask it for the best epoch.
        history,
        # This and the next two only read the values.
        tensorboard(folder.path / "tensorboard") if options.tensorboard and writes else None,
        WandbRecord(options.wandb, folder) if options.wandb and writes else None,
        RichProgress(batches.steps, recipe.epochs) if options.verbose == 1 else None,
        # Before the checkpoints: what the user's callbacks change in the model is saved.
        *options.callbacks,
        # Before the backup: a run that resumes after an epoch has that epoch's model.
        Checkpoints(folder, history, devices, averages),
        # Last: all other files have an epoch when the backup has it.
        backup,
    ]
    return [callback for callback in callbacks if callback is not None]
