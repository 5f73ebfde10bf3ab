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
# # Publish and pull
#
# At the end you have the files of a repository on the Hugging Face Hub, with a model card, and a model
# that was loaded from them.
#
# It needs `pip install ".[demo]"` and a backend, and takes seconds on two CPU cores. Nothing is uploaded: a dry
# run writes the files to a folder.

# %% [markdown]
# ## Measure the model
#
# A model card, the repository's README, states results. So measure the model first. Here it is a variant that ships
# with the package.

# %%
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
from keras_crate.evaluation import Evaluation, accuracy

model = keras_crate.load("crate_digits")
digits = keras_crate.data.load("digits").validation
batches = Evaluation.for_model(model).batches(digits, model, 64)
scores = accuracy(model, batches)
print(scores)

# %% [markdown]
# ## Write the repository
#
# `push` with `dry_run=FOLDER` writes the files of the commit to a folder. With `images`, the card also
# has the coding rate and sparsity of every layer.

# %%
images = batches[0][0]
keras_crate.hub.push(
    model,
    "hf://user/crate-digits",
    dataset="digits",
    metrics={"accuracy": scores.summary()["top1"] / 100},
    license="mit",
    images=images,
    dry_run="crate-digits",
)
for path in sorted(Path("crate-digits").rglob("*")):
    if path.is_file():
        print(f"{path.stat().st_size:>9,} bytes  {path}")

# %% [markdown]
# The card begins with code that runs. Where a fact is missing, it says "Not stated".

# %%
card = Path("crate-digits/README.md").read_text("utf8")
_, _, text = card.split("---\n", 2)  # facts for the Hub come first
print(text[:1200], "...")

# %% [markdown]
# ## Publish
#
# To publish, log in with `hf auth login`, and leave `dry_run` out. `push` makes the repository if it
# does not exist, and writes one commit. It refuses an untrained model, another user's repository, and a
# token that may only read.
#
# ```text
# keras_crate.hub.push(
#     model, "hf://user/crate-digits", dataset="digits", metrics={"accuracy": 0.99}, license="mit"
# )
# ```
#
# In a shell, for the model of a run:
#
# ```bash
# keras-crate push tuned/best.keras hf://user/crate-digits --license mit
# ```
#
# ## Pull
#
# `pull` loads a model from the Hub, or from a folder with a repository's files. No code of the
# repository is run.
#
# ```text
# model = keras_crate.hub.pull("hf://user/crate-digits")      # the newest version
# model = keras_crate.hub.pull("hf://user/crate-digits@v1")   # a branch, tag or commit
# ```
#
# Here the model is loaded from the folder of the dry run. Its outputs are those of the original model.

# %%
pulled = keras_crate.hub.pull("crate-digits")
difference = abs(pulled.predict(images, verbose=0) - model.predict(images, verbose=0)).max()
print(f"largest difference of the probabilities: {difference:.1g}")

# %% [markdown]
# The model has its class names, and stores how images are prepared for it.

# %%
print(keras_crate.decode_predictions(pulled.predict(images[:3], verbose=0), pulled, top=2))
print(Evaluation.for_model(pulled))

# %% [markdown]
# ## Another model with the same weights
#
# `weights=` takes the same addresses and folders. Here the model has no head, so it returns one vector for each
# image.

# %%
size = {"dim": 128, "depth": 4, "heads": 4, "input_shape": (28, 28, 1), "patch_size": 7}
encoder = keras_crate.CRATE(**size, include_top=False, weights="crate-digits")
print(encoder.predict(images, verbose=0).shape)

# %% [markdown]
# ## Half the size
#
# `dtype="float16"` stores the weights in half precision. They are loaded in the model's own dtype.

# %%
keras_crate.hub.push(model, "hf://user/half", dtype="float16", dry_run="half")
for folder in ("crate-digits", "half"):
    print(folder, f"{Path(folder, 'model.weights.h5').stat().st_size:,} bytes")

# %% [markdown]
# ## See also
#
# - API: [hub](../api/hub.md)
# - [Use with KerasHub](../kerashub.md): the same repository as a preset of KerasHub
# - [Troubleshooting](../troubleshooting.md): tokens, and work without a network
# - [Fine-tune on your folder](fine_tune_on_your_folder.ipynb): train a model of your own
