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
# # Resume and scale out
#
# At the end you know how to train in less time and memory, how to resume a run, how to work through
# large folders, and how to use several devices.
#
# It needs `pip install ".[demo]"` and a backend, and takes less than a minute on two CPU cores.

# %% [markdown]
# ## Mixed precision
#
# Under the policy `mixed_bfloat16`, layers compute in bfloat16, and weights stay in float32. A recipe sets
# it by `precision`, and a constructor by `dtype`. The probabilities are float32 in any case. The policy is
# meant for GPUs and TPUs. [Speed and memory](../speed.md#lower-precision) has measurements on CPUs.

# %%
import os
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate import evaluation, training

digits = keras_crate.data.load("digits")
exact = keras_crate.load("crate_digits")
mixed = keras_crate.load("crate_digits", dtype="mixed_bfloat16")
batches = evaluation.Evaluation.for_model(exact).batches(digits.validation, exact, 128)
for name, model in {"float32": exact, "mixed_bfloat16": mixed}.items():
    print(f"{name}: {evaluation.accuracy(model, batches)}")

# %% [markdown]
# In a recipe, write `load_recipe("digits-small", precision="mixed_bfloat16")`. On the command line, write
# `--set precision=mixed_bfloat16`.
#
# ## Rematerialise
#
# With `rematerialise=True`, the results inside each operator are not kept for the gradient. They are
# computed again, which takes time and saves memory. The outputs and the gradients are the same.
# [Speed and memory](../speed.md) has measurements on each backend.

# %%
size = {"dim": 64, "depth": 2, "heads": 4, "input_shape": (28, 28, 1), "patch_size": 7}
plain = keras_crate.CRATE(**size, classes=10)
model = keras_crate.CRATE(**size, classes=10, rematerialise=True)
model.set_weights(plain.get_weights())
few = digits.validation.images[:4].repeat(4, axis=1).repeat(4, axis=2)[:, :28, :28]
difference = abs(model.predict(few, verbose=0) - plain.predict(few, verbose=0)).max()
print(f"largest difference: {difference:.1g}")

# %% [markdown]
# ## Resume an interrupted run
#
# A run writes a backup after every epoch. To resume it, repeat the same call. Here a callback
# interrupts the run in its second epoch, as a power cut or a job's time limit would.

# %%
recipe = training.load_recipe("digits-small", epochs=3, batch_size=64)


class Interruption(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def run(folder, callbacks=()):
    options = {"recipe": recipe, "limit": 128, "callbacks": callbacks, "verbose": 0}
    return training.finetune("crate_demo_mnist", "digits", folder, **options)


try:
    run("interrupted", [Interruption()])
except KeyboardInterrupt:
    print("interrupted:", *sorted(path.name for path in Path("interrupted").iterdir()))

resumed = run("interrupted")
print("resumed after epoch", resumed.metrics["resumed_after"])

# %% [markdown]
# The resumed run has the same weights as a run that was never interrupted, bit by bit.

# %%
uninterrupted = run("uninterrupted")
weights = zip(resumed.model.get_weights(), uninterrupted.model.get_weights(), strict=True)
same = all(np.array_equal(ours, theirs) for ours, theirs in weights)
print("the same weights:", same)

# %% [markdown]
# On the command line, repeat the command: `keras-crate pretrain` and `keras-crate finetune` resume too.
#
# ## Features and predictions of large folders
#
# `write_features` and `write_predictions` read one batch of images at a time, and keep the results on the
# disk until the last image is read. If the process is killed, repeat the call to resume it. Files that cannot be read
# are left out, and the call returns the reason for each.

# %%
os.makedirs("scans", exist_ok=True)
for k, image in enumerate(digits.validation.images[:100]):
    keras.utils.save_img(f"scans/{k:03}.png", image, scale=False)
Path("scans/broken.png").write_text("no image")

left_out = evaluation.write_features(exact, ["scans"], "features.npz")
print(np.load("features.npz")["features"].shape, "left out:", left_out)
left_out = evaluation.write_predictions(exact, ["scans"], "predictions.csv", top=1)

# %% [markdown]
# The commands are:
#
# ```bash
# keras-crate embed crate_digits scans features.npz
# keras-crate predict crate_digits scans --csv predictions.csv --top 1
# ```
#
# ## Several devices
#
# `distribute="data"` divides each batch among all devices. Losses and weights match those of one device, up to
# rounding. The recipe's `batch_size` is the global batch, of all devices together. It must be a multiple of the number
# of devices. `distribute="auto"` does the same if there are several devices, and else trains on one.

# %%
recipe = training.load_recipe("digits-small", epochs=1)
options = {"recipe": recipe, "limit": 128, "distribute": "auto", "verbose": 0}
several = training.finetune("crate_digits", "digits", "several", **options)
print(f"validation accuracy {several.metrics['val_accuracy']:.1%}")

# %% [markdown]
# On the command line, the option is `--distribute`. JAX and TensorFlow use all devices of the machine in one process.
# PyTorch needs one process per device, which `torchrun` starts. These commands try both on a CPU, with two virtual
# devices and with two processes:
#
# ```bash
# XLA_FLAGS=--xla_force_host_platform_device_count=2 KERAS_BACKEND=jax \
#   keras-crate finetune --weights crate_digits --data digits --recipe digits-small --distribute data
# KERAS_BACKEND=torch torchrun --nproc-per-node=2 -m keras_crate \
#   finetune --weights crate_digits --data digits --recipe digits-small --distribute data
# ```
#
# [Train on many devices](../scaling.md) explains several machines, SLURM, Kubernetes, TPUs and large models.
#
# ### With your own `fit`
#
# The models also train with `keras.distribution` and `fit`. This program divides the weights of a model among JAX
# devices. `training.layout_map` returns which weights are divided: the projections of MSSA by heads, and the
# dictionaries of ISTA by columns.
#
# ```python
# import os
#
# os.environ["KERAS_BACKEND"] = "jax"
# os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"  # virtual devices
#
# import keras_crate
# import keras
#
# mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"])
# layout = keras_crate.training.layout_map(mesh)
# keras.distribution.set_distribution(
#     keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
# )
# digits = keras_crate.data.load("mnist5k").train
# model = keras_crate.CRATE(32, 1, 2, input_shape=(28, 28, 1), patch_size=7, classes=10)
# model.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy")
# model.fit(digits.images[:512], digits.labels[:512], batch_size=128, epochs=1, verbose=2)
# dictionary = model.get_layer("block_0_ista").weights[0]  # (32, 32), a half on each device
# print(dictionary.value.addressable_shards[0].data.shape)  # (32, 16)
# ```
#
# ## See also
#
# - [Training](../training.md#resuming-a-run): what a resumed run keeps, and how it is tested
# - [Speed and memory](../speed.md)
# - API: [training](../api/training.md), [evaluation](../api/evaluation.md)
