"""Random states that depend on the epoch."""

import keras
import numpy as np


class EpochSeeds(keras.callbacks.Callback):
    """Sets all random states at the beginning of each epoch, from the run's seed and the epoch.

    A run that is resumed draws what it would have drawn. The states are: the
    seeds of dropout, drop-path and masks, which Keras does not save with the
    weights; the global generators, one of which PyTorch's dropout uses; and the
    epoch of a `keras_crate.data.TrainingBatches`, which Keras counts once too
    often.
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
