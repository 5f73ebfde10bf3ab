"""The schedule of the learning rate."""

import keras


def warmup_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: float,
    steps_per_epoch: int,
    final_learning_rate: float = 0.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a schedule that grows linearly to the highest rate, then falls as a cosine.

    Args:
        learning_rate: The highest learning rate, > 0.
        epochs: Number of epochs.
        warmup_epochs: Number of first epochs in which the rate grows.
        steps_per_epoch: Number of batches per epoch.
        final_learning_rate: The rate at the end.
    """
    warmup = round(steps_per_epoch * warmup_epochs)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else learning_rate,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
        decay_steps=max(1, steps_per_epoch * epochs - warmup),
        alpha=final_learning_rate / learning_rate,
    )
