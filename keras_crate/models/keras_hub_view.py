"""Views of KerasHub's vision transformers.

KerasHub is not imported. Its classes are recognised by their names.
"""

from collections.abc import Callable

import keras

from keras_crate.models.derived import derived
from keras_crate.models.model_view import BlockView, ModelView


def keras_hub_classes(model) -> set[str]:
    """Returns the names of KerasHub's classes that a model is an instance of."""
    bases = type(model).__mro__
    return {base.__name__ for base in bases if base.__module__.split(".")[0] == "keras_hub"}


def backbone_view(model: keras.Model) -> ModelView | None:
    """Returns the view of a backbone of KerasHub, or None for other models."""
    known = keras_hub_classes(model) & {"ViTBackbone", "DeiTBackbone", "DINOV2Backbone"}
    if not known:
        return None
    return derived(model, [backbone_view], lambda: _view(model, known))


def _view(model: keras.Model, known: set) -> ModelView:
    _, embedding, encoder, *_ = model.layers
    if "DINOV2Backbone" in known:
        prefix = 1 + embedding.num_register_tokens
        (height, width), patch = embedding.image_shape, [embedding.patch_size] * 2
        layers, parts = encoder.layers, _DINOV2
    else:
        prefix = 2 if "DeiTBackbone" in known else int(embedding.use_class_token)
        (height, width), patch = embedding.image_size, embedding.patch_size
        layers, parts = encoder.encoder_layers, _VIT
    blocks, tokens = [], embedding.output
    for layer in layers:
        inputs, half_step, output = (_Part(layer, compute)(tokens) for compute in parts)
        attention = layer.mha if parts is _VIT else layer.attention.attention
        blocks.append(BlockView(attention, inputs, half_step, output))
        tokens = output
    return ModelView(model, blocks, (height // patch[0], width // patch[1]), prefix)


class _Part(keras.layers.Layer):
    """Computes tokens inside a block, which has no symbolic tensors of its own.

    The block's layers cannot be called one by one in a functional model, since the
    layers of all blocks have the same names.
    """

    def __init__(self, block: keras.layers.Layer, compute: Callable):
        super().__init__(dtype=block.dtype_policy)
        self.block, self.compute = block, compute

    def call(self, tokens):
        return self.compute(self.block, tokens)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        raise NotImplementedError(
            "Keras cannot save a part of a KerasHub model. Save the weights with `save_weights`."
        )


def _output(block, tokens):
    output = block(tokens)
    return output[0] if isinstance(output, tuple) else output  # DeiT's also returns scores


def _half_step(block, tokens):
    normed = block.layer_norm_1(tokens)
    return block.mha(normed, normed) + tokens


def _dinov2_half_step(block, tokens):
    return block.layer_scale1(block.attention(block.norm1(tokens))) + tokens


# What a `BlockView` shows, computed from the block and its tokens.
_VIT = (lambda block, tokens: block.layer_norm_1(tokens), _half_step, _output)
_DINOV2 = (lambda block, tokens: block.norm1(tokens), _dinov2_half_step, _output)
