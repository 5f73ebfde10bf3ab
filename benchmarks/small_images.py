"""Accuracy of a small CRATE on a part of Fashion-MNIST: plain `fit` and two recipes.

    KERAS_BACKEND=torch python benchmarks/small_images.py FOLDER

FOLDER has Fashion-MNIST's four files, as its authors publish them (`train-images-idx3-ubyte.gz`,
...). Each way trains the same model on the first 6,000 images for 10 epochs, with seed 0, and is
measured on the first 2,000 test images after every epoch.
"""

import argparse
import gzip
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import script
from machine import machine

import keras_crate
from keras_crate.training import load_recipe, pretrain

WAYS = ("plain fit", "digits-small", "small-images")


def read(folder: Path, split: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a split, and their classes."""
    with gzip.open(folder / f"{split}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), "uint8", offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), "uint8", offset=8).astype("int64")
    return images[:count], labels[:count]


def trained(way: str, train, validation, epochs: int) -> dict:
    """Every epoch's validation accuracy and the last training accuracy, in per cent."""
    keras.utils.set_random_seed(0)
    model = keras_crate.CRATE(128, 4, 4, input_shape=(28, 28, 1), patch_size=7, classes=10)
    start = time.process_time()
    if way == "plain fit":
        optimizer = keras.optimizers.AdamW(1e-3)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        options = {"batch_size": 128, "epochs": epochs, "verbose": 0}
        history = model.fit(*train, validation_data=validation, **options).history
    else:
        recipe = load_recipe(way, epochs=epochs)
        with tempfile.TemporaryDirectory() as folder:
            options = {"verbose": 0, "workers": 1, "pipeline": "pydataset"}
            history = pretrain(
                model, train, folder, validation=validation, recipe=recipe, **options
            ).history
    return {
        "validation": [round(100 * value, 2) for value in history["val_accuracy"]],
        "training": round(100 * history["accuracy"][-1], 2),
        "processor_seconds": round(time.process_time() - start, 1),
    }


def main() -> None:
    """Trains, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=6000, help="to train on (%(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    train = read(arguments.folder, "train", arguments.images)
    validation = read(arguments.folder, "t10k", 2000)
    results = {}
    for way in WAYS:
        results[way] = trained(way, train, validation, arguments.epochs)
        print(way, results[way])
    settings = {"images": arguments.images, "epochs": arguments.epochs, "machine": machine()}
    script.write_results(arguments.output, "small_images", {**settings, "results": results})


if __name__ == "__main__":
    main()
