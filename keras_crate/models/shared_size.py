"""The same layers for images of another size, for training with both sizes at once."""

import keras

from keras_crate.layers import TokenEmbedding
from keras_crate.layers.position_resize import resize_in_graph


def share_at_size(model: keras.Model, input_shape: tuple[int, int, int]) -> keras.Model:
    """Returns a model of the same layers and weights for images of another size.

    In contrast to `with_input_shape`, nothing is copied: training either model
    changes both. Positions are resized (bicubic) at each call, so gradients
    reach the one table.
    """

    def same(layer):
        if isinstance(layer, TokenEmbedding):
            return _ResizedEmbedding(layer, model.get_layer("patch_embedding").grid(batch))
        return layer

    batch = (None, *input_shape)
    images = keras.Input(input_shape, dtype=model.inputs[0].dtype)
    return keras.models.clone_model(model, input_tensors=images, clone_function=same)


class _ResizedEmbedding(keras.layers.Layer):
    """A `TokenEmbedding` with its positions resized to another grid of patches."""

    def __init__(self, embedding: TokenEmbedding, grid: tuple[int, int]):
        super().__init__(name=embedding.name, dtype=embedding.dtype_policy)
        self.embedding, self.grid = embedding, grid

    def call(self, inputs):
        own = self.embedding
        return own.embed(inputs, resize_in_graph(own.positions[:, 1:], own.grid, self.grid))

    def compute_output_shape(self, input_shape):
        return self.embedding.compute_output_shape(input_shape)
