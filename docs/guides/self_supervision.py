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
# # Self-supervision
#
# At the end you have encoders that were trained on images without labels, and the accuracy of their
# features beside that of pixels and of an untrained encoder.
#
# It needs `pip install ".[demo]"` and a backend, and takes less than a minute on two CPU cores.

# %% [markdown]
# ## A trained masked autoencoder
#
# A masked autoencoder hides patches at random and learns to complete them. `crate_mae_fashion_mnist` ships
# with the package. The figure shows images that it was not trained on. `pasted` has the visible patches of
# the image and the reconstruction of the hidden ones.

# %%
import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate.evaluation import knn_accuracy
from keras_crate.data import garments

images = garments()[0][:4]
mae = keras_crate.load("crate_mae_fashion_mnist")
noise = np.random.default_rng(0).uniform(size=(len(images), 49))  # the largest are hidden
mae.reconstruct(images, noise)

# %% [markdown]
# ## Train a masked autoencoder
#
# `CRATEMAE` has its own loss: the squared error of the hidden patches. `compile` takes no loss, and `fit` no
# labels. `encoder` returns the encoder as a model of its own.

# %%
digits = keras_crate.data.load("mnist5k")
images, labels = digits.train.images[:1024], digits.train.labels[:1024]
val_images, val_labels = digits.validation.images[:500], digits.validation.labels[:500]

keras.utils.set_random_seed(0)
size = {"dim": 64, "depth": 2, "heads": 4, "input_shape": (28, 28, 1), "patch_size": 7}
mae = keras_crate.CRATEMAE(**size, mask_ratio=0.5, seed=0)
mae.compile(keras.optimizers.AdamW(2e-3))
losses = mae.fit(images, batch_size=64, epochs=5, verbose=0).history["loss"]
print("loss of each epoch:", *(f"{loss:.3f}" for loss in losses))
print(mae.encoder(pooling="avg").predict(val_images, verbose=0).shape)

# %% [markdown]
# ## How good are features?
#
# `knn_accuracy` classifies images by the labels of the 20 nearest features of other images. No classifier
# is trained, so it measures the features alone. Pixels are the baseline, and a strong one for small
# digits.

# %%
accuracies = {}


def measure(name, features_of):
    train, validation = (np.reshape(features_of(x), (len(x), -1)) for x in (images, val_images))
    accuracies[name] = knn_accuracy(train, labels, validation, val_labels).summary()["top1"]
    print(f"{name}: {accuracies[name]:.1f} %")


keras.utils.set_random_seed(0)
encoder = keras_crate.CRATE(**size, include_top=False, pooling="avg")
measure("pixels", lambda x: x / 255)
measure("untrained encoder", lambda x: encoder.predict(x, verbose=0))

# %% [markdown]
# ## Train SimDINO
#
# `SimDINO` learns that crops of one image have similar features. The coding rate of all features must be
# high at the same time, so they do not become equal. It trains any encoder of images. The crops of small
# images are small too, so few of them and a small projection are enough.

# %%
simdino = keras_crate.training.SimDINO(
    encoder,
    local_crops=2,
    global_area=(0.5, 1.0),
    local_area=(0.2, 0.5),
    flip=False,
    colours=False,
    hidden_dim=256,
    projection_dim=64,
    momentum=0.9,
)
simdino.compile(keras.optimizers.AdamW(2e-3))
history = simdino.fit(images, batch_size=128, epochs=6, verbose=0).history
print("coding rate of the features, in nats:", *(f"{rate:.1f}" for rate in history["coding_rate"]))
measure("SimDINO", lambda x: simdino.encoder().predict(x, verbose=0))

# %% [markdown]
# Seconds of training hardly change the accuracy: with 500 images, differences below 4 points may be chance.
# [Learning without labels](../self_supervised.md#what-was-measured) has longer trainings with three seeds, and
# what they gain and do not gain.
#
# ## Use the encoder
#
# With a new head, the encoder becomes a classifier, which is fine-tuned with few labels.

# %%
few = 200
classifier = simdino.encoder().reset_classifier(10)
classifier.compile(
    keras.optimizers.AdamW(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
)
classifier.fit(images[:few], labels[:few], batch_size=50, epochs=10, verbose=0)
_, tuned = classifier.evaluate(val_images, val_labels, verbose=0)
print(f"fine-tuned with {few} labels: {tuned:.1%}")

# %% [markdown]
# ## Runs that resume, and ImageNet
#
# `pretrain` trains both by a recipe, and its runs can be resumed. `keras-crate probe` measures features, and
# `finetune` takes the encoder of a run.
#
# ```bash
# keras-crate pretrain base --recipe imagenet1k-simdino --output simdino
# keras-crate pretrain mae-base --data photographs --output mae
# keras-crate probe simdino/model.keras imagenet2012 --knn 20 --linear
# keras-crate finetune --weights simdino/model.keras --recipe cifar10-paper --output cifar10
# ```
#
# ## See also
#
# - [Learning without labels](../self_supervised.md): the loss, the crops, what was measured
# - API: [models](../api/models.md), [training](../api/training.md), [evaluation](../api/evaluation.md)
# - [Fine-tune on your folder](fine_tune_on_your_folder.ipynb)
