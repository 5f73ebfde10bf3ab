"""Trains CRATE-MAE on digits without labels, then classifiers with few labels.

    python examples/masked_autoencoder.py mae

Trains a small masked autoencoder, draws digits that it reconstructs, and compares
three classifiers that learn from a few labelled digits: a linear probe on its
features, its fine-tuned encoder, and the same network trained from scratch. Writes
`mae.keras` and `reconstruction.png` into the folder.
"""

import argparse
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("output", type=Path, help="folder for the model and the picture")
parser.add_argument("--epochs", type=int, default=40, help="epochs without labels (%(default)s)")
parser.add_argument("--labels", type=int, default=500, help="labelled digits (%(default)s)")
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)

keras.utils.set_random_seed(0)
digits = keras_crate.data.load("mnist5k")
images, labels = digits.train.images, digits.train.labels
val_images, val_labels = digits.validation.images, digits.validation.labels

mae = keras_crate.CRATEMAE(
    dim=96, depth=2, heads=4, input_shape=images.shape[1:], patch_size=7, mask_ratio=0.5, seed=0
)
mae.compile(keras.optimizers.AdamW(1e-3, weight_decay=0.01))
before = mae.evaluate(val_images, verbose=0)
mae.fit(images, batch_size=128, epochs=arguments.epochs, verbose=0)
after = mae.evaluate(val_images, verbose=0)
print(f"loss on hidden patches of validation digits: {before:.3f} before, {after:.3f} after")
mae.save(arguments.output / "mae.keras")

masked, reconstruction, pasted, _ = mae.reconstruct(val_images[:6])
rows = (val_images[:6], masked, reconstruction, pasted)
picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
keras.utils.save_img(arguments.output / "reconstruction.png", picture, scale=False)
print("digits, masked, reconstructed, pasted:", arguments.output / "reconstruction.png")


def accuracy(model, learning_rate):
    """Trains a model on the labelled digits, and measures the accuracy."""
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images[:few], labels[:few], batch_size=50, epochs=30, verbose=0)
    return model.evaluate(val_images, val_labels, verbose=0, return_dict=True)["accuracy"]


few = arguments.labels
options = {"include_top": True, "classes": 10, "pooling": "avg"}
frozen = mae.encoder(**options)
frozen.freeze_backbone()
probe = accuracy(frozen, 1e-2)
tuned = accuracy(mae.encoder(**options), 5e-4)
scratch = accuracy(type(mae).from_config(mae.get_config()).encoder(**options), 5e-4)
print(f"with {few} labels, of {len(val_labels)} validation digits:")
print(f"linear probe {probe:.1%}, fine-tuned {tuned:.1%}, from scratch {scratch:.1%}")
