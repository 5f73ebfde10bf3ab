"""The callbacks of a run, and the reason for their order."""

import keras

from keras_crate.training.checkpoints import Backup, Checkpoints
from keras_crate.training.divergence import FiniteLoss
from keras_crate.training.epoch_seeds import EpochSeeds
from keras_crate.training.history import RunHistory
from keras_crate.training.progress import RichProgress, Throughput
from keras_crate.training.recipe import Recipe
from keras_crate.training.run_folder import RunFolder
from keras_crate.training.trackers import WandbRecord, tensorboard
from keras_crate.training.training_input import TrainingInput


def callbacks_of(
    recipe: Recipe,
    batches: TrainingInput,
    folder: RunFolder,
    history: RunHistory,
    backup: Backup,
) -> list[keras.callbacks.Callback]:
    """The callbacks of a run, in the order in which Keras calls them."""
    options = batches.options
    seeds = EpochSeeds(options.seed, batches.for_fit if batches.pipeline == "pydataset" else None)
    averages = keras.callbacks.SwapEMAWeights() if recipe.ema else None
    callbacks = [
        # First: the others may draw random numbers.
        seeds,
        # Before all that writes: an epoch that diverged is not recorded.
        FiniteLoss(backup, seeds, batches),
        # Before what may read the weights in an evaluation: they are the averages there.
        averages,
        # Before all that reads an epoch's values: it adds two.
        Throughput(batches.steps * batches.batch_size),
        # Before the checkpoints, which ask it for the best epoch.
        history,
        # Anywhere behind the values, as the next two: they only read.
        tensorboard(folder.path / "tensorboard") if options.tensorboard else None,
        WandbRecord(options.wandb, folder) if options.wandb else None,
        RichProgress(batches.steps) if options.verbose == 1 else None,
        # Before the checkpoints: what the user's callbacks change in the model is saved.
        *options.callbacks,
        # Before the backup: a run that resumes after an epoch has that epoch's model.
        Checkpoints(folder, history, averages),
        # Last: an epoch that is in the backup is written everywhere else.
        backup,
    ]
    return [callback for callback in callbacks if callback is not None]
