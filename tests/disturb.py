import keras
import numpy as np


def disturb(model):
    """Gives normalisations and biases other values than they start with; the model."""
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        if weight.path.endswith(("gamma", "beta", "bias", "temperature")):
            values = keras.ops.convert_to_numpy(weight)
            weight.assign(values + 0.3 * rng.normal(size=values.shape))
    return model
