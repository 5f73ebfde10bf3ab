"""A short run, in a process that can be killed: `python small_run.py KIND OUTPUT EPOCH STEP`."""

import os
import signal
import sys

import keras

import keras_crate
from keras_crate.training import Recipe, pretrain

RECIPE = Recipe(
    epochs=3, warmup_epochs=1, batch_size=24, learning_rate=2e-3, crop_area=(0.6, 1.0), flip=False,
    mixup=0.2, drop_path_rate=0.2, dropout_rate=0.1, ema=0.9, clip_norm=1.0, label_smoothing=0.1,
    evaluation_crop="whole",
)  # fmt: skip


# Without dropout, which would need another second to compile under JAX.
UNLABELLED = Recipe(
    epochs=3, warmup_epochs=1, batch_size=24, learning_rate=2e-3, crop_area=None, flip=False,
    simdino={"local_crops": 1, "local_size": 4, "hidden_dim": 16, "projection_dim": 8,
             "colours": False},
)  # fmt: skip


class AtStep(keras.callbacks.Callback):
    """Does something at a step."""

    def __init__(self, epoch, step, action):
        super().__init__()
        self.when, self.action = (epoch, step), action

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.when:
            self.action()


def kill():
    """Ends the process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def small_model(name="small"):
    """A model of some 5,000 parameters."""
    keras.utils.set_random_seed(3)
    return keras_crate.CRATE(
        16, 2, 2, input_shape=(8, 8, 1), patch_size=4, classes=10, pooling="avg", name=name
    )


def run(output, callbacks=(), recipe=RECIPE, name="small", **options):
    """Trains the small model on 96 digits."""
    return run_of(small_model(name), output, recipe=recipe, callbacks=callbacks, **options)


def run_of(model, output, **options):
    """Trains a model on 96 digits."""
    return pretrain(model, "digits", output, **{"limit": 96, "seed": 3, "verbose": 0, **options})


def run_unlabelled(output, callbacks=(), **options):
    """Trains the encoder of the small model by SimDINO on 96 digits."""
    keras.utils.set_random_seed(3)
    encoder = keras_crate.CRATE(
        16, 2, 2, input_shape=(8, 8, 1), patch_size=4, include_top=False, pooling="avg"
    )
    options = {"limit": 96, "seed": 3, "verbose": 0, **options}
    return pretrain(encoder, "digits", output, recipe=UNLABELLED, callbacks=callbacks, **options)


RUNS = {"labelled": run, "unlabelled": run_unlabelled}

if __name__ == "__main__":
    kind, output, *when = sys.argv[1:]
    RUNS[kind](output, [AtStep(*map(int, when), kill)] if when else [])
