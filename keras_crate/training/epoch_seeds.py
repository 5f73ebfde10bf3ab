"""Chance, keyed by the epoch."""

import keras
import numpy as np


class EpochSeeds(keras.callbacks.Callback):
    """Sets what chance depends on at the beginning of every epoch.

    That is the seeds of dropout, drop-path and masks, which Keras does not save
    with weights; the global generators, by one of which PyTorch drops; and the
    epoch of the batches, for which Keras' own calls come once too often. All
    follow from the run's seed and the epoch: a run that is resumed draws what
    it would have drawn.

    Args:
        seed: The run's.
        batches: A `keras_crate.data.TrainingBatches` that `fit` goes through, or
            None.
    """

    def __init__(self, seed: int, batches=None):
        super().__init__()
        self.seed, self.batches = seed, batches

    def on_epoch_begin(self, epoch, logs=None):
        rng = np.random.default_rng([self.seed, epoch])
        keras.utils.set_random_seed(int(rng.integers(2**31)))
        for state in self.model.variables:
            if state.name == "seed_generator_state":
                state.assign(np.array([rng.integers(2**31), 0]))
        if self.batches is not None:
            self.batches.start(epoch)
