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
# # Look inside a model
#
# At the end you have pictures of what a trained CRATE attends to, of its tokens, and of compression and
# sparsity at every layer.
#
# It needs `pip install ".[demo]"` and a backend, and takes seconds on two CPU cores. The model and the images ship
# with the package. The images are four test images of Fashion-MNIST.

# %% [markdown]
# ## The model and its images
#
# `decode_predictions` names the likeliest class of each image.

# %%
import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate import interpret
from keras_crate.data import garments

model = keras_crate.load("crate_fashion_mnist")
images = garments()[0][:4]
probabilities = model.predict(images, verbose=0)
for image in keras_crate.decode_predictions(probabilities, model, top=2):
    print(", ".join(f"{name} {share:.1%}" for name, share in image))

# %% [markdown]
# ## Attention maps
#
# In each block, every head of the attention layer (MSSA) works in a subspace of its own. Its attention map shows which
# patches the class token attends to. `head_atlas` draws the attention maps of the last block: a row per image, a
# column per head.

# %%
interpret.head_atlas(model, images)

# %% [markdown]
# `attention_maps` returns the numbers. `layer` chooses the block, and `token` the token that attends: 0
# is the class token, and the patches follow row by row. Here it is the patch in row 4 and column 3.

# %%
maps = interpret.attention_maps(model, images, layer=2, token=1 + 4 * 7 + 3)  # row 4, column 3
print(maps.shape, "images, heads, rows, columns")
interpret.plot_attention_maps(images, maps)

# %% [markdown]
# `rollout` combines the attention of all blocks into one map.

# %%
interpret.plot_rollout(images, interpret.rollout(model, images))

# %% [markdown]
# ## Tokens as colours
#
# `token_pca` computes three principal components of the patches' tokens, and shows them as red, green and blue. The
# components are those of all images together, so the same colour means similar tokens in every image. Patches that it
# takes for background are black.

# %%
interpret.plot_token_pca(images, interpret.token_pca(model, images, layer=3))

# %% [markdown]
# `intermediates` returns the tokens of all blocks. The figure shows how they change with depth.

# %%
tokens = interpret.intermediates(model, images, what="map")
print(len(tokens), "blocks,", tokens[0].shape, "images, rows, columns, width")
interpret.plot_intermediates(images, tokens)

# %% [markdown]
# ## Objects without labels
#
# `segment` separates objects from the background by a normalised cut: it divides the patches into two groups by the
# similarity of their keys in the attention layer. The model was never trained on masks.

# %%
interpret.plot_segments(images, interpret.segment(model, images))

# %% [markdown]
# ## Compression and sparsity at every layer
#
# A block is meant to compress the tokens against its subspaces, and then to make them sparse. `measure` shows whether
# it does. It reports the coding rate R^c of each block's input (lower: more compressed), and the share of non-zeros in
# the output of ISTA, the sparse coding layer.

# %%
measured = keras_crate.objective.measure(model, images)
print(measured)

# %% [markdown]
# The same architecture with initial weights shows what training changed. In the trained model, the coding
# rate falls with depth from block 1 on. In the untrained model, it does not.

# %%
untrained = keras_crate.load("crate_fashion_mnist", weights=None)
before = keras_crate.objective.measure(untrained, images)
before.plot("untrained", {"trained": measured})

# %% [markdown]
# `convention="paper"` measures R, R^c and the whole objective as the paper defines them. The default follows the
# authors' measuring code, and gives different numbers. [The mathematics](../mathematics.md#coding-rate-against-subspaces)
# defines both conventions, and [Measurements](../whitebox.md) compares them.

# %%
print(keras_crate.objective.measure(model, images, convention="paper"))

# %% [markdown]
# ## Any layer
#
# The model is a functional Keras model, so any layer can be an output. The layers of a block are
# `block_0_norm_1`, `block_0_mssa`, `block_0_add`, `block_0_norm_2` and `block_0_ista`.

# %%
codes = keras.Model(model.input, model.get_layer("block_5_ista").output)
found = codes.predict(images, verbose=0)
print(found.shape, f"{np.mean(found == 0):.1%} exact zeros")

# %% [markdown]
# On the command line, `keras-crate look` and `keras-crate measure` write the same figures and numbers for
# image files of any size:
#
# ```bash
# keras-crate look crate_fashion_mnist photograph.jpg
# keras-crate measure crate_fashion_mnist photographs/
# ```
#
# ## See also
#
# - API: [interpret](../api/interpret.md), [objective](../api/objective.md)
# - [Measurements](../whitebox.md): what the layers of trained models do
# - [Look inside in the browser](../app.md): the same figures, interactive
# - [Compare a CRATE and a ViT](compare_crate_and_vit.ipynb): the same figures for other transformers
