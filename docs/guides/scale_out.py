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
# # Scale out
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
# meant for GPUs and TPUs. [Speed and memory](../speed.md) has what it does on CPUs.

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
# In a recipe: `load_recipe("digits-small", precision="mixed_bfloat16")`; on the command line:
# `--set precision=mixed_bfloat16`.
# ## Rematerialise
#
# With `rematerialise=True`, the results inside each operator are not kept for the gradient. They are
# computed again, which takes time and saves memory. The function and the gradients are the same.
# [Speed and memory](../speed.md) has what was measured on each backend.

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
# The numbers are those of a run that was never interrupted, bit by bit.

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
# disk until the last image is read. If the process is killed, repeat the call to resume it. Here a file that
# is no image is named and left out.

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
# The commands have no option for several devices yet. The models are Keras models, so what Keras offers works in
# `fit`. Choose by backend:
#
# | backend | what works | what does not |
# | --- | --- | --- |
# | JAX | `keras.distribution`: `DataParallel`, `ModelParallel` | a last batch that the devices do not divide |
# | TensorFlow | `tf.distribute.MirroredStrategy` | |
# | PyTorch | one device a process | `keras.distribution` of Keras 3.15 |
#
# Each program below runs as it stands on a CPU that pretends to be several devices. On GPUs, leave the lines
# that make virtual devices out.
#
# ### JAX: data parallel
#
# Every device has all weights and a part of each batch. The batch size must be a multiple of the number of
# devices, and so must the number of images.
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
# keras.distribution.set_distribution(keras.distribution.DataParallel())
# digits = keras_crate.data.load("mnist5k").train
# model = keras_crate.CRATE(32, 1, 2, input_shape=(28, 28, 1), patch_size=7, classes=10)
# model.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy")
# model.fit(digits.images[:512], digits.labels[:512], batch_size=128, epochs=1, verbose=2)
# print(len(model.weights[-1].value.sharding.device_set), "devices")  # 4 devices
# ```
#
# ### JAX: model parallel
#
# The weights of the operators are divided among devices too, for models that do not fit on one. The layout names
# weights by their paths. Here the projections of MSSA and the dictionaries of ISTA are divided by columns.
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
# layout = keras.distribution.LayoutMap(mesh)
# layout["block_.*_mssa/.*kernel"] = (None, "model")
# layout["block_.*_ista/.*kernel"] = (None, "model")
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
# ### TensorFlow: MirroredStrategy
#
# Make and compile the model inside the strategy's scope.
#
# ```python
# import os
#
# os.environ["KERAS_BACKEND"] = "tensorflow"
#
# import keras_crate
# import keras
# import tensorflow as tf
#
# [cpu] = tf.config.list_physical_devices("CPU")
# virtual = [tf.config.LogicalDeviceConfiguration()] * 2
# tf.config.set_logical_device_configuration(cpu, virtual)
#
# strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
# digits = keras_crate.data.load("mnist5k").train
# with strategy.scope():
#     model = keras_crate.CRATE(32, 1, 2, input_shape=(28, 28, 1), patch_size=7, classes=10)
#     model.compile(keras.optimizers.AdamW(1e-3), "sparse_categorical_crossentropy")
# model.fit(digits.images[:512], digits.labels[:512], batch_size=128, epochs=1, verbose=2)
# print(strategy.num_replicas_in_sync, "replicas")  # 2 replicas
# ```
#
# ## See also
#
# - [Training](../training.md#resuming-a-run): what a resumed run keeps, and how it is tested
# - [Speed and memory](../speed.md)
# - API: [training](../api/training.md), [evaluation](../api/evaluation.md)
