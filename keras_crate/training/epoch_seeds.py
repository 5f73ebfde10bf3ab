"""Random states that depend on the epoch."""

import keras
import numpy as np

from keras_crate.distributed.devices import Devices
from keras_crate.keras_internals import parts_of
from keras_crate.layers import PatchNoise


class EpochSeeds(keras.callbacks.Callback):
    """Sets all random states at the beginning of each epoch, from the run's seed and the epoch.

    A run that is resumed draws what it would have drawn. The states are: the
    seeds of dropout, drop-path and masks, which Keras does not save with the
    weights; the global generators, one of which PyTorch's dropout uses; and the
    epoch of a `keras_crate.data.TrainingBatches`, which Keras counts once too
    often. Each replica of the model draws other numbers. `PatchNoise` is the
    exception: it draws the numbers of all replicas.
    """

    def __init__(self, seed: int, devices: Devices, batches=None):
        super().__init__()
        self.seed, self.devices, self.batches = seed, devices, batches

    def set_model(self, model):
        super().set_model(model)
        noise = [part for part in parts_of(model) if isinstance(part, PatchNoise)]
        self.common = {layer.seed_generator.state.path for layer in noise}

    def on_epoch_begin(self, epoch, logs=None):
        rng = np.random.default_rng([self.seed, epoch])
        self.devices.seed_global(int(rng.integers(2**31)))
        for state in self.model.variables:
            if state.name == "seed_generator_state":
                value = int(rng.integers(2**31))
                if state.path in self.common:
                    state.assign(np.array([value, 0]))
                else:
                    self.devices.seed(state, value)
        if self.batches is not None:
            self.batches.start(epoch)
