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
# # Look inside
#
# At the end you have pictures of what a trained CRATE attends to, of its tokens, and of compression and
# sparsity at every layer.
#
# It needs `pip install ".[demo]"` and a backend, and takes seconds on two CPU cores. The model ships with
# the package. So do the images: four test images of Fashion-MNIST.

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
# In each block, every head of MSSA is a subspace, and its attention map shows which patches the class
# token reads there. `head_atlas` draws the attention maps of the last block: a row per image, a column
# per head.

# %%
interpret.head_atlas(model, images)

# %% [markdown]
# `attention_maps` returns the numbers. `layer` chooses the block, and `token` the token that attends: 0
# is the class token, and the patches follow row by row. The map of a patch of the shoe shows the
# patches that are like it.

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
# `token_pca` computes three principal components of the patches' tokens. Patches with the same colour
# have similar tokens, in all images alike.

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
# `segment` separates objects from the background by a normalised cut of the patches' keys. The model was
# never trained on masks.

# %%
interpret.plot_segments(images, interpret.segment(model, images))

# %% [markdown]
# ## Compression and sparsity at every layer
#
# A block compresses the tokens against its subspaces, and then makes them sparse. `measure` shows whether
# it does: the coding rate R^c of the block's input, and the share of ISTA's output that is not zero.

# %%
measured = keras_crate.objective.measure(model, images)
print(measured)

# %% [markdown]
# The same architecture with initial weights shows what training changed. In the trained model the coding
# rate falls with depth from block 1 on. In the untrained one it does not.

# %%
untrained = keras_crate.load("crate_fashion_mnist", weights=None)
before = keras_crate.objective.measure(untrained, images)
before.plot("untrained", {"trained": measured})

# %% [markdown]
# `convention="paper"` measures R, R^c and the whole objective as the paper defines them. The two
# conventions give different numbers. [What the layers do](../whitebox.md) discusses both.

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
# - [What the layers do, measured](../whitebox.md)
# - [Compare a CRATE and a ViT](compare_crate_and_vit.ipynb): the same figures for other transformers
