# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Compare a CRATE and a ViT
#
# At the end you have a table and a figure of the accuracy of a CRATE and a ViT over several seeds, and
# both models' attention, compression and sparsity side by side.
#
# It needs `pip install ".[demo]"` and a backend, and takes about half a minute on two CPU cores. The
# models are tiny, and train for four epochs on 720 digits of 8 x 8 pixels. The numbers show how to compare, and
# say nothing about large models.

# %% [markdown]
# ## Two models
#
# The CRATE is one line.

# %%
import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras import layers
from keras_crate import interpret, objective, training

SHAPE, PATCH, WIDTH, DEPTH, HEADS = (8, 8, 1), 2, 48, 2, 3


def crate(seed):
    return keras_crate.CRATE(WIDTH, DEPTH, HEADS, input_shape=SHAPE, patch_size=PATCH, classes=10)


# %% [markdown]
# The ViT is built from Keras' layers. Its blocks are `MultiHeadAttention` and two dense layers, each
# after a normalisation and with a skip connection. A block of a ViT has 12 d^2 parameters, and one of a
# CRATE 3 d^2. So that both have about as many parameters, the ViT is half as wide.

# %%
VIT_WIDTH = WIDTH // 2


def vit(seed):
    images = keras.Input(SHAPE, name="images")
    x = layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = layers.Reshape((-1, VIT_WIDTH))(layers.Conv2D(VIT_WIDTH, PATCH, strides=PATCH)(x))
    small = keras.initializers.RandomNormal(stddev=0.02)
    x = keras_crate.layers.TokenEmbedding(position_initializer=small)(x)  # with a class token
    for k in range(DEPTH):
        normed = layers.LayerNormalization(name=f"norm_{k}")(x)
        attention = layers.MultiHeadAttention(HEADS, VIT_WIDTH // HEADS, name=f"attention_{k}")
        x = layers.Add(name=f"half_step_{k}")([x, attention(normed, normed)])
        wide = layers.Dense(4 * VIT_WIDTH, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add(name=f"block_{k}")([x, layers.Dense(VIT_WIDTH)(wide)])
    x = layers.LayerNormalization()(x)[:, 0]
    return keras.Model(images, layers.Dense(10, "softmax")(x), name="vit")


# %% [markdown]
# ## Accuracy: the same data, recipe and seeds
#
# `training.compare` trains every model with every seed by one recipe. Differences between models that are
# smaller than those between seeds mean nothing.

# %%
recipe = training.load_recipe(
    "digits-small", epochs=4, batch_size=64, learning_rate=8e-3, crop_area=None
)
compared = training.compare(
    {"CRATE": crate, "ViT": vit}, "digits", "compared", recipe=recipe, seeds=(0, 1), limit=720
)
compared

# %% [markdown]
# `print` shows a table in Markdown. It is also in the folder, with the figure and all runs. The same call
# continues an interrupted comparison.

# %%
print(compared)

# %% [markdown]
# ## Where the ViT's attention and tokens are
#
# The functions of `interpret` and `measure` know the package's models and KerasHub's ViT, DeiT and DINOv2.
# For any other ViT, a `ModelView` says where each block's attention and tokens are.

# %%
models = {
    name: keras.saving.load_model(f"compared/{name}/seed-0/model.keras", compile=False)
    for name in ("CRATE", "ViT")
}


def view_of_vit(model):
    blocks = [
        interpret.BlockView(
            attention=model.get_layer(f"attention_{k}"),
            inputs=model.get_layer(f"norm_{k}").output,
            half_step=model.get_layer(f"half_step_{k}").output,
            output=model.get_layer(f"block_{k}").output,
        )
        for k in range(DEPTH)
    ]
    return interpret.ModelView(model, blocks, grid=(4, 4), prefix_tokens=1)


inside = {"CRATE": models["CRATE"], "ViT": view_of_vit(models["ViT"])}

# %% [markdown]
# ## Attention maps side by side
#
# Each row is a digit, and each column a head of the last block. First the CRATE:

# %%
images = keras_crate.data.load("digits").validation.images[:4]
interpret.head_atlas(inside["CRATE"], images)

# %% [markdown]
# And the ViT:

# %%
interpret.head_atlas(inside["ViT"], images)

# %% [markdown]
# ## Compression and sparsity side by side
#
# For a ViT, the columns of each head's value projection are the basis of a subspace. It has no operator
# that makes tokens sparse, so its share of non-zeros is 1. The widths differ, so compare how the curves
# run rather than their height.

# %%
digits = keras_crate.data.load("digits").validation.images[:128]
measured = {name: objective.measure(model, digits) for name, model in inside.items()}
measured["CRATE"].plot("CRATE", {"ViT": measured["ViT"]})

# %% [markdown]
# A coding rate that falls with depth does not show that a model was built to compress.
# [A ViT beside a CRATE](../whitebox.md#7-a-vit-beside-a-crate) has the numbers of larger models.
#
# ## See also
#
# - API: [training](../api/training.md), [interpret](../api/interpret.md)
# - [Training](../training.md#what-was-measured): a CRATE, a ViT and a convolutional network on
#   Fashion-MNIST
# - [Look inside](look_inside.ipynb): what else can be drawn
