"""How many images per second the pipelines make on one core, and whether a model waits for them.

    KERAS_BACKEND=tensorflow python benchmarks/input_pipeline.py

Photographs of scikit-image are stored as JPEGs of ImageNet's usual size (500 x 375). Batches of
64 are made from them by the paper's recipes, at 224 x 224. Without TensorFlow the rows of tf.data
are left out. Then a CRATE-Tiny is trained on a few batches from each pipeline, and on one batch
that stays in memory.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

if "--one-core" in sys.argv:  # before anything starts threads
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import keras_crate  # before keras, for which it picks an installed backend
import numpy as np
import script
from keras_crate.data import Augmentation, TrainingBatches, training_dataset
from keras_crate.data.image_sources import FileSource
from machine import machine
from timing import interleaved

SHAPE, BATCH, FILES = (224, 224, 3), 64, 256
RECIPES = {
    "crop": Augmentation(flip=False),
    "crop, flip": Augmentation(),
    "crop, flip, RandAugment(2, 14)": Augmentation(rand_augment=(2, 14)),
    "crop, flip, MixUp, CutMix": Augmentation(mixup=0.8, cutmix=1.0),
    "all, with erasing": Augmentation(
        rand_augment=(2, 14), mixup=0.8, cutmix=1.0, random_erasing=0.25
    ),
}


def photographs(folder: Path) -> FileSource:
    from PIL import Image
    from skimage import data

    pictures = [Image.fromarray(getattr(data, name)()).convert("RGB")
                for name in ("astronaut", "chelsea", "coffee", "rocket")]  # fmt: skip
    files = []
    for k in range(FILES):
        files.append(folder / f"{k}.jpg")
        pictures[k % 4].resize((500, 375)).save(files[-1], quality=90)
    return FileSource(files, np.arange(FILES) % 10)


def pipelines(source, augmentation) -> dict:
    """Each pipeline's endless batches, by name."""

    def pydataset():
        batches = TrainingBatches(source, 10, SHAPE, BATCH, augmentation)
        while True:
            yield from (batches[k] for k in range(len(batches)))
            batches.on_epoch_end()

    found = {"pydataset": pydataset()}
    try:
        dataset, _ = training_dataset(source, 10, SHAPE, BATCH, augmentation)
        found["tf.data"] = iter(dataset)
    except ImportError:
        pass
    return found


def images_per_second(source, augmentation, rounds: int) -> dict:
    """In turns, each pipeline alone and new: one that waits would fill its buffers."""
    seconds = {}
    for _ in range(rounds):
        for name in pipelines(source, augmentation):
            batches = pipelines(source, augmentation)[name]
            for _ in range(2):
                next(batches)
            start = time.perf_counter()
            for _ in range(10):
                next(batches)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            del batches
    return {name: 10 * BATCH / statistics.median(values) for name, values in seconds.items()}


def waiting(source, rounds: int) -> dict:
    """Time of CRATE-Tiny's steps behind each pipeline, divided by that on one batch in memory."""
    batch = next(pipelines(source, Augmentation())["pydataset"])
    model = keras_crate.CRATETiny(classes=10)
    model.compile("adamw", "categorical_crossentropy")

    def step(batches):
        model.train_on_batch(*map(np.asarray, next(batches)))

    running = {"in memory": iter(lambda: batch, None)}
    running |= pipelines(source, RECIPES["crop, flip, RandAugment(2, 14)"])
    calls = {name: lambda batches=batches: step(batches) for name, batches in running.items()}
    for call in calls.values():
        call()
    medians = {name: statistics.median(s) for name, s in interleaved(calls, rounds).items()}
    ratios = {name: value / medians["in memory"] for name, value in medians.items()}
    return {"images_per_second": BATCH / medians["in memory"], "time_ratios": ratios}


def main():
    parser = script.parser(__doc__, rounds=5)
    parser.add_argument("--one-core", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = photographs(Path(folder))
        if arguments.one_core:
            found = {
                name: images_per_second(source, augmentation, arguments.rounds)
                for name, augmentation in RECIPES.items()
            }
            return print(json.dumps(found))
        found = script.in_fresh_process(__file__, "--one-core", "--rounds", arguments.rounds)
        training = waiting(source, arguments.rounds)
    results = {
        "machine": machine(),
        "images": "JPEG, 500 x 375, to 224 x 224",
        "images_per_second_on_one_core": found,
        "training_crate_tiny": training,
    }
    print(json.dumps(results, indent=1))
    script.write_results(arguments.output, "input_pipeline", results)


if __name__ == "__main__":
    main()
