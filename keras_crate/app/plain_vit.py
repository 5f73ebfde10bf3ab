"""A small ViT of plain Keras layers, which the page shows beside a CRATE."""

import os
from pathlib import Path

import keras
import numpy as np
from keras import layers
from safetensors.numpy import load_file

from keras_crate.interpret import BlockView, ModelView
from keras_crate.layers import TokenEmbedding

SHAPE, PATCH, GRID, CLASSES = (28, 28, 1), 4, (7, 7), 10
WIDTH, DEPTH, HEADS = 64, 6, 2
MEAN, STD = 0.286, 0.353  # of Fashion-MNIST's pixels in [0, 1]
# Trained by examples/train_plain_vit.py, for six epochs on 12,000 images of Fashion-MNIST. It named
# 81.6 % of the 10,000 test images.
FILE = Path(__file__).with_name("plain_vit.safetensors")


def plain_vit() -> keras.Model:
    """Returns an untrained ViT: pre-norm, with a class token and learned positions.

    Returns:
        A model of images `(batch, 28, 28, 1)` with pixels in [0, 255]. Its outputs are the
        probabilities of 10 classes.
    """
    small = keras.initializers.RandomNormal(stddev=0.02)
    images = keras.Input(SHAPE, name="images")
    x = layers.Rescaling(1 / (255 * STD), offset=-MEAN / STD, name="normalise")(images)
    x = layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(x)
    x = layers.Reshape((-1, WIDTH), name="sequence")(x)
    x = TokenEmbedding(GRID, small, small, name="tokens")(x)
    for k in range(DEPTH):
        normed = layers.LayerNormalization(name=f"norm_{k}_1")(x)
        attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"attention_{k}")
        x = layers.Add(name=f"half_step_{k}")([x, attention(normed, normed)])
        wide = layers.LayerNormalization(name=f"norm_{k}_2")(x)
        wide = layers.Dense(4 * WIDTH, "gelu", name=f"mlp_{k}_1")(wide)
        x = layers.Add(name=f"block_{k}")([x, layers.Dense(WIDTH, name=f"mlp_{k}_2")(wide)])
    x = layers.LayerNormalization(name="head_norm")(x)[:, 0]
    return keras.Model(images, layers.Dense(CLASSES, "softmax", name="head")(x), name="plain_vit")


def view_of_vit(model: keras.Model) -> ModelView:
    """Tells the package where the ViT's attention and tokens are."""
    blocks = [
        BlockView(
            attention=model.get_layer(f"attention_{k}"),
            inputs=model.get_layer(f"norm_{k}_1").output,
            half_step=model.get_layer(f"half_step_{k}").output,
            output=model.get_layer(f"block_{k}").output,
        )
        for k in range(DEPTH)
    ]
    return ModelView(model, blocks, grid=GRID, prefix_tokens=1)


def trained_vit(file: str | os.PathLike = FILE) -> ModelView:
    """Returns the view of a `plain_vit()` with the weights of a file, by paths of variables."""
    model, arrays = plain_vit(), load_file(file)
    for weight in model.weights:
        weight.assign(arrays[weight.path].astype(np.float32))
    return view_of_vit(model)
