"""The operators of a ViT, as a CRATE takes them, and a plain convolutional network.

`keras_crate.CRATE(..., compress=SelfAttention, sparsify=MLP)` is a ViT in the graph of a CRATE.
"""

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="plain_models")
class SelfAttention(keras_crate.layers.SubspaceLayer):
    """A ViT's attention: the coordinates are the keys; queries and values have their own maps."""

    def build(self, input_shape):
        super().build(input_shape)
        units = {"units": input_shape[-1]}
        self.queries = self.make_sublayer(layers.Dense, "queries", input_shape, **units)
        self.values = self.make_sublayer(layers.Dense, "values", input_shape, **units)

    def call(self, inputs, return_attention_scores=False, training=None):
        def split(x):
            shape = (-1, ops.shape(x)[1], self.heads, self.head_dim)
            return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))

        queries, keys, values = (
            split(self.queries(inputs)),
            self.coordinates(inputs),
            split(self.values(inputs)),
        )
        products = ops.matmul(queries, ops.transpose(keys, (0, 1, 3, 2)))
        scores = ops.softmax(products / self.head_dim**0.5, axis=-1)
        outputs = self.merge(ops.matmul(scores, values), training=training)
        return (outputs, scores) if return_attention_scores else outputs


@keras.saving.register_keras_serializable(package="plain_models")
class MLP(keras_crate.layers.CompositeLayer):
    """A ViT's second operator: four times the width, GELU, back to the width, and a skip."""

    residual = True

    def build(self, input_shape):
        dim = input_shape[-1]
        self.expand = self.make_sublayer(
            layers.Dense, "expand", input_shape, units=4 * dim, activation="gelu"
        )
        wide = (*input_shape[:-1], 4 * dim)
        self.contract = self.make_sublayer(layers.Dense, "contract", wide, units=dim)
        self.built = True

    def call(self, inputs):
        return self.contract(self.expand(inputs))


def convolutional_network(input_shape, classes: int, width: int = 32) -> keras.Model:
    """Three stages of two 3x3 convolutions each. A stage halves the size and doubles the width."""
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    for stage in range(3):
        for k in range(2):
            name = f"stage_{stage}_{k}"
            x = layers.Conv2D(
                width * 2**stage, 3, padding="same", use_bias=False, name=f"{name}_convolution"
            )(x)
            x = layers.BatchNormalization(name=f"{name}_norm")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        if stage < 2:
            x = layers.MaxPooling2D(name=f"stage_{stage}_pooling")(x)
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    outputs = layers.Dense(classes, "softmax", name="head")(x)
    return keras.Model(images, outputs, name="convolutional_network")
