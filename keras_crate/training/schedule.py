"""The schedule of the learning rate."""

import keras

from keras_crate.compiled.cosine_of_updates import CosineOfUpdates


def warmup_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: float,
    steps_per_epoch: int,
    final_learning_rate: float = 0.0,
    accumulate: int = 1,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a schedule that grows linearly to the highest rate, then falls as a cosine.

    Args:
        learning_rate: The highest learning rate, > 0.
        epochs: Number of epochs.
        warmup_epochs: Number of first epochs in which the rate grows.
        steps_per_epoch: Number of steps per epoch.
        final_learning_rate: The rate at the end.
        accumulate: Number of steps per update. The rate changes only at updates.
    """
    updates = steps_per_epoch // accumulate
    warmup = round(updates * warmup_epochs)
    settings = dict(
        initial_learning_rate=0.0 if warmup else learning_rate,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
        decay_steps=max(1, updates * epochs - warmup),
        alpha=final_learning_rate / learning_rate,
    )
    if accumulate == 1:
        return keras.optimizers.schedules.CosineDecay(**settings)
    return CosineOfUpdates(**settings, accumulate=accumulate)
