"""What was made from a model's layers, kept with the model."""

import types
from collections.abc import Callable

import keras

# Programs and tensors of so many kinds are kept for a model, the newest ones.
_MOST = 8


def derived(model: keras.Model, parts: list, make: Callable):
    """Returns what `make` returned for these parts of a model, and calls it the first time.

    JAX and TensorFlow compile the steps of each new model. One that is made from
    another model's layers at each call would be compiled at each call. Parts, such as
    symbolic tensors, are compared by identity. After LoRA or quantisation changed the
    weights, `make` is called again.
    """
    form = [(w.path, tuple(w.shape), str(w.dtype)) for w in model.weights]
    kept = getattr(model, "_derived", None)
    if kept is None or kept.form != form:
        # In an object that Keras does not track, or the layers would be saved twice.
        kept = model._derived = types.SimpleNamespace(form=form, made={})
    key = tuple(map(id, parts))
    if key not in kept.made:
        if len(kept.made) == _MOST:
            del kept.made[next(iter(kept.made))]
        kept.made[key] = (parts, make())  # the parts stay alive, so no other object has their ids
    return kept.made[key][1]
