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
    """Returns a schedule that grows linearly to the highest rate, then falls as a cosine."""
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
