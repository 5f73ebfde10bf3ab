"""The learning rate over a training."""

import keras


def warmup_cosine(
    learning_rate: float, epochs: int, warmup_epochs: int, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Grows to the highest learning rate, then falls to 0 as a cosine.

    Args:
        learning_rate: The highest, > 0.
        epochs: Of the training.
        warmup_epochs: Of these, those of a growing learning rate.
        steps_per_epoch: Batches an epoch.
    """
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_epochs else learning_rate,
        warmup_target=learning_rate if warmup_epochs else None,
        warmup_steps=steps_per_epoch * warmup_epochs,
        decay_steps=steps_per_epoch * max(1, epochs - warmup_epochs),
    )
