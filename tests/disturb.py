import keras
import numpy as np


def disturb(model):
    """Gives normalisations and biases other values than they start with; the model."""
    rng = np.random.default_rng(5)
    others = ("gamma", "beta", "bias", "temperature", "moving_mean", "moving_variance")
    for weight in model.weights:
        if weight.path.endswith(others):
            values = keras.ops.convert_to_numpy(weight)
            change = 0.3 * rng.normal(size=values.shape)
            weight.assign(values + (np.abs(change) if "variance" in weight.path else change))
    return model
