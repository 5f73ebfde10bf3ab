"""Views of a transformer's blocks: their tokens, attention and subspaces."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_crate.checks import names_arguments
from keras_crate.layers.composite import matrix_of
from keras_crate.models.blocks import chosen_numbers


@names_arguments
@dataclasses.dataclass(frozen=True)
class BlockView:
    """One block of a transformer: its attention layer and its symbolic tokens.

    Args:
        attention: A `keras.layers.MultiHeadAttention`, or another layer. Another
            layer needs only the methods that are used, out of these three:
            `call(tokens, return_attention_scores=True)`, which returns outputs
            and scores `(batch, heads, n, n)`; `coordinates(tokens)`, the keys
            `(batch, heads, n, p)`; `subspace_bases()` of shape `(heads, d, p)`.
        inputs: Tokens that the attention takes, normalised, `(batch, n, d)`.
        half_step: Tokens after the attention and its skip connection.
        output: Tokens after the block.
        sparsify: The layer whose exact zeros are counted. By default, the exact
            zeros of `output` are counted.

    See `ModelView` for an example.
    """

    attention: keras.layers.Layer
    inputs: keras.KerasTensor
    half_step: keras.KerasTensor
    output: keras.KerasTensor
    sparsify: keras.layers.Layer | None = None

    def __post_init__(self):
        if isinstance(self.attention, keras.layers.MultiHeadAttention):
            heads = _Heads(self.attention, self.inputs.shape[-1])
            object.__setattr__(self, "attention", heads)


@names_arguments
@dataclasses.dataclass(frozen=True)
class ModelView:
    """Tells `interpret` and `objective.measure` where a ViT's attention and tokens are.

    Pass the view to these functions as `model`. Models of this package, KerasHub's
    `ViTBackbone`, `DeiTBackbone` and `DINOV2Backbone`, and classifiers built on them
    need no view.

    Args:
        model: A functional model of images.
        blocks: A `BlockView` for each block, in the order of the model.
        grid: Rows and columns of patches.
        prefix_tokens: Number of tokens before those of the patches: class, distillation
            and register tokens. Maps exclude these tokens.
        prepare: Function that turns a batch of images into the model's input. By
            default the model takes the images as they are.

    Raises:
        ValueError: If there are no blocks, or if their number of tokens is not
            `prefix_tokens` plus the number of patches in the grid.

    Example:

    ```python
    inputs = keras.Input((32, 32, 3))
    tokens = keras.layers.Reshape((16, 24))(keras.layers.Conv2D(24, 8, strides=8)(inputs))
    normed = keras.layers.LayerNormalization()(tokens)
    attention = keras.layers.MultiHeadAttention(num_heads=2, key_dim=12)
    half = tokens + attention(normed, normed)
    output = half + keras.layers.Dense(24, "gelu")(keras.layers.LayerNormalization()(half))
    vit = keras.Model(inputs, output)

    block = keras_crate.interpret.BlockView(attention, normed, half, output)
    view = keras_crate.interpret.ModelView(vit, [block], grid=(4, 4), prefix_tokens=0)
    maps = keras_crate.interpret.attention_maps(view, images, token=5)
    measured = keras_crate.objective.measure(view, images, convention="paper")
    ```
    """

    model: keras.Model
    blocks: Sequence[BlockView]
    grid: tuple[int, int]
    prefix_tokens: int = 1
    prepare: Callable | None = None

    def __post_init__(self):
        if not self.blocks:
            raise ValueError("`blocks` must have a `BlockView` for each block. Received: none")
        rows, columns = self.grid
        expected = self.prefix_tokens + rows * columns
        for block in self.blocks:
            if block.output.shape[1] not in (None, expected):
                raise ValueError(
                    f"prefix_tokens={self.prefix_tokens} and a grid of {rows} by {columns} patches "
                    f"make {expected} tokens. Received: blocks with {block.output.shape[1]} tokens"
                )

    @property
    def images(self) -> keras.KerasTensor:
        """The model's symbolic input."""
        return self.model.inputs[0]

    def chosen(self, layers) -> list[tuple[int, BlockView]]:
        """Returns blocks with their numbers. Negative numbers count from the last; None: all."""
        return [(k, self.blocks[k]) for k in chosen_numbers(layers, len(self.blocks))]

    def as_map(self, tokens: np.ndarray) -> np.ndarray:
        """Arranges features of tokens, `(batch, tokens, ...)`, as maps of the patches."""
        return tokens[:, self.prefix_tokens :].reshape(len(tokens), *self.grid, *tokens.shape[2:])


class _Heads:
    """Gives a `keras.layers.MultiHeadAttention` the methods of a `SubspaceLayer`."""

    def __init__(self, attention: keras.layers.MultiHeadAttention, dim: int):
        self.layer, self.dim, self.name = attention, dim, attention.name

    def call(self, tokens, return_attention_scores=True):
        return self.layer(tokens, tokens, return_attention_scores=True, training=False)

    __call__ = call

    def coordinates(self, tokens):
        """The keys of each head, with their bias."""
        return ops.transpose(self.layer.key_dense(tokens), (0, 2, 1, 3))

    def subspace_bases(self):
        """The columns of each head's value projection, without its bias."""
        kernel = matrix_of(self.layer.value_dense, self.dim, self.layer.variable_dtype)
        return ops.transpose(kernel, (1, 0, 2))
