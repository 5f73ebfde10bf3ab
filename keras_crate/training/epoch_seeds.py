"""Layers' chance, keyed by the epoch."""

import keras
import numpy as np


class EpochSeeds(keras.callbacks.Callback):
    """Sets the seeds of dropout, drop-path and masks at the beginning of every epoch.

    They depend on the run's seed and the epoch alone, so that a run that is
    resumed draws what it would have drawn: Keras saves no seeds with weights.

    Args:
        seed: The run's.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.name == "seed_generator_state"]
        rng = np.random.default_rng([self.seed, epoch])
        for state in states:
            state.assign(np.array([rng.integers(2**31), 0]))
