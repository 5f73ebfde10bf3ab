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
# # Fine-tune on your folder
#
# At the end you have a model that tells the classes of your folder apart, its accuracy by class, and a
# CSV file with predictions for images.
#
# It needs `pip install ".[examples]"` and a backend, and takes about half a minute on two CPU cores.

# %% [markdown]
# ## A folder of images
#
# The folder has one folder per class in `train/` and in `val/`. Here the images are cuts from three
# photographs of scikit-image. Those in `val/` come from another part of each photograph.

# %%
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from skimage import data

rng = np.random.default_rng(0)
for name in ("brick", "grass", "gravel"):
    photograph = getattr(data, name)()  # 512 x 512, grey
    for k in range(48):
        part = "train" if k < 32 else "val"
        left, right = (0, 256) if part == "train" else (320, 448)
        row, column = rng.integers(0, 448), rng.integers(left, right)
        folder = Path("textures", part, name)
        folder.mkdir(parents=True, exist_ok=True)
        cut = photograph[row : row + 64, column : column + 64, np.newaxis]
        keras.utils.save_img(folder / f"{k:02}.png", cut, scale=False)

# %% [markdown]
# `open_data` shows what the package finds in a folder. If there is no `val/`, a part of the training images is
# used for validation instead.

# %%
textures = keras_crate.data.open_data("textures")
print(textures.class_names, len(textures.train), len(textures.validation))

# %% [markdown]
# ## Train
#
# A recipe has the settings of a training. The recipe `photographs` first trains the head (the classifier) alone, and
# then all layers. Here the model is small and comes with the package, so the images are resized to 28 pixels, and few
# epochs are enough.

# %%
recipe = keras_crate.training.load_recipe(
    "photographs",
    image_size=28,
    head_epochs=1,
    epochs=7,
    warmup_epochs=1,
    batch_size=16,
    learning_rate=1e-3,
    rand_augment=None,
)
run = keras_crate.training.finetune(
    "crate_fashion_mnist", "textures", "tuned", recipe=recipe, verbose=0
)
print("validation accuracy:", *(f"{a:.0%}" for a in run.history["val_accuracy"]))

# %% [markdown]
# The folder `tuned` has the model of the best epoch, the history as CSV and as a figure, and the
# settings. If the run is interrupted, the same call resumes it.

# %%
print(*sorted(path.name for path in Path("tuned").iterdir()))

# %% [markdown]
# ## Measure
#
# `best.keras` stores how images are prepared for it, and `Evaluation.for_model` reads this. `LabelledFolder` prepares
# the images of a folder in this way. `accuracy` compares the model's classes with the names of the folders.

# %%
from keras_crate.evaluation import Evaluation, LabelledFolder, accuracy

best = keras.saving.load_model("tuned/best.keras")
scores = accuracy(best, LabelledFolder("textures/val", best, Evaluation.for_model(best)))
print(scores)
scores.plot(best.class_names)

# %% [markdown]
# ## Predict
#
# `write_predictions` writes the likeliest classes of images to a CSV file. It takes image files, and folders of any
# size.

# %%
keras_crate.evaluation.write_predictions(best, ["textures/val"], "predictions.csv", top=1)
print(*Path("predictions.csv").read_text().splitlines()[:4], sep="\n")

# %% [markdown]
# ## Train less: the head alone, or LoRA
#
# With few images or little memory, train fewer weights. `freeze_backbone` leaves only the head trainable.
# `enable_lora` (LoRA, low-rank adaptation) adds low-rank adapters to the linear maps of every block. Only the
# adapters, the biases and the head are then trained.

# %%
counts = {}
for name in ("all layers", "LoRA", "head"):
    model = keras_crate.load("crate_fashion_mnist").reset_classifier(3, textures.class_names)
    if name == "LoRA":
        model.enable_lora(4)
    elif name == "head":
        model.freeze_backbone()
    counts[name] = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    print(f"{name}: {counts[name]:,} trainable weights")

# %% [markdown]
# Both work with `compile` and `fit`, on arrays of images and labels. Saving merges the adapters into the weights, so
# the saved model is as fast as one without adapters.

# %%
model = keras_crate.load("crate_fashion_mnist").reset_classifier(3, textures.class_names)
model.enable_lora(4)
prepared = Evaluation.for_model(best)
batches = list(LabelledFolder("textures/train", model, prepared))
images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
model.compile(keras.optimizers.AdamW(3e-3), "sparse_categorical_crossentropy")
model.fit(images, labels, batch_size=16, epochs=4, verbose=0)
adapted = accuracy(model, LabelledFolder("textures/val", model, prepared))
print(adapted)
model.save("adapted.keras")

# %% [markdown]
# In a recipe, `train_only="head"` trains the head alone. The recipe `linear-probe` does so.
#
# ## Start from ImageNet weights
#
# For photographs, start from weights that were trained on ImageNet, and keep the recipe's size of 224
# pixels. The first line downloads the weights from the Hub. Training in reasonable time needs a GPU:
#
# ```text
# model = keras_crate.CRATEAlphaBase(weights="imagenet21k-imagenet")
# run = keras_crate.training.finetune(model, "textures", "tuned", recipe="photographs")
# ```
#
# On the command line:
#
# ```bash
# keras-crate finetune --weights crate_alpha_base_imagenet21k_imagenet --data textures --recipe photographs --output tuned
# keras-crate evaluate tuned/best.keras textures --per-class --confusion confusion.png
# keras-crate predict tuned/best.keras textures/val --csv predictions.csv
# ```
#
# ## See also
#
# - API: [training](../api/training.md), [evaluation](../api/evaluation.md), [data](../api/data.md)
# - [Training](../training.md): recipes, data, what a run's folder holds
# - [The zoo](../zoo.md): which weights there are
# - [Publish and pull](publish_and_pull.ipynb): share the model
# - [How to](../howto.md): several labels an image, regression, rare classes, 13 channels
