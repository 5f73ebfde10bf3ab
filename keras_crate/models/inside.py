"""Computes tensors inside a model, batch by batch."""

from collections.abc import Iterator

import keras
import numpy as np

from keras_crate.models.blocks import check_whole
from keras_crate.models.checks import check_finite, check_images
from keras_crate.models.derived import derived
from keras_crate.models.image_batches import image_batches, number_of_batches
from keras_crate.models.model_view import ModelView


class Inside:
    """Runs a model up to some of its symbolic tensors, which may be in any structure.

    A call yields float32 arrays in that structure, batch by batch. If a value is NaN or
    infinite, the error names the first layer with such an output.
    """

    def __init__(self, view: ModelView, tensors):
        check_whole(view.model)
        self.view = view
        self.tensors = tensors
        flat = keras.tree.flatten(tensors)
        self._to_tensors = derived(view.model, flat, lambda: keras.Model(view.images, flat))

    def __call__(self, images, batch_size: int, verbose: int = 0) -> Iterator:
        progress = keras.utils.Progbar(number_of_batches(images, batch_size), verbose=verbose)
        any_images = False
        for batch in image_batches(images, batch_size):
            any_images = any_images or len(batch) > 0
            check_finite(batch)
            if self.view.prepare is not None:
                batch = keras.ops.convert_to_numpy(self.view.prepare(batch))
            check_images(batch, tuple(self.view.images.shape[1:]))
            # Keras returns a single output bare.
            values = keras.tree.flatten(self._to_tensors.predict_on_batch(batch))
            values = [np.asarray(value, "float32") for value in values]
            if not all(np.isfinite(value).all() for value in values):
                broken = first_broken_layer(self.view.model, batch)
                raise ValueError(
                    f"Activations are NaN or infinite{f', first in {broken}' if broken else ''}. "
                    "Load an earlier checkpoint, or train with a lower learning rate."
                )
            yield keras.tree.pack_sequence_as(self.tensors, values)
            progress.add(1)
        if not any_images:
            raise ValueError("`images` must hold at least one image. Received: none")


def first_broken_layer(model: keras.Model, batch) -> str | None:
    """Says which layer of a functional model is the first whose output is not finite, if any."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    every = keras.Model(model.inputs[0], [layer.output for layer in layers])
    pairs = zip(layers, every.predict_on_batch(batch), strict=True)
    for number, (layer, outputs) in enumerate(pairs, 1):
        if not all(map(_is_finite, keras.tree.flatten(outputs))):
            weights = [w.path for w in layer.weights if not _is_finite(w)]
            why = f"its weights {weights} are not finite" if weights else "its weights are finite"
            return f"the output of layer {layer.name!r} ({number} of {len(layers)}; {why})"
    return None


def _is_finite(tensor) -> bool:
    array = np.asarray(keras.ops.convert_to_numpy(tensor)).astype("float32")
    return bool(np.isfinite(array).all())
