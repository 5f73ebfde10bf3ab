"""The learning rate over a training."""

import keras


def warmup_cosine(
    learning_rate: float,
    epochs: int,
    warmup_epochs: float,
    steps_per_epoch: int,
    final_learning_rate: float = 0.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Grows to the highest learning rate, then falls as a cosine.

    Args:
        learning_rate: The highest, > 0.
        epochs: Of the training.
        warmup_epochs: Of these, those of a growing learning rate.
        steps_per_epoch: Batches an epoch.
        final_learning_rate: What it falls to.
    """
    warmup = round(steps_per_epoch * warmup_epochs)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else learning_rate,
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
        decay_steps=max(1, steps_per_epoch * epochs - warmup),
        alpha=final_learning_rate / learning_rate,
    )
