"""How many images a second the pipelines make on one core, and whether a model waits for them.

    KERAS_BACKEND=tensorflow python benchmarks/input_pipeline.py

Photographs of scikit-image are stored as JPEGs of ImageNet's usual size (500 x 375); batches of 64
are made of them as the paper's recipes ask, at 224 x 224. Without TensorFlow the tf.data rows are
left out. CRATE-Tiny is then trained on a few batches, with and without a pipeline in front of it.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ONE_CORE = "--one-core" in sys.argv
if ONE_CORE:  # before anything starts threads
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate.data import Augmentation, TrainingBatches, training_dataset
from keras_crate.data.image_sources import FileSource

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


def pipelines(source, augmentation):
    """Each pipeline's batches without end, by name."""

    def ours():
        batches = TrainingBatches(source, 10, SHAPE, BATCH, augmentation)
        while True:
            yield from (batches[k] for k in range(len(batches)))
            batches.on_epoch_end()

    found = {"pydataset": ours()}
    try:
        dataset, _ = training_dataset(source, 10, SHAPE, BATCH, augmentation)
        found["tf.data"] = iter(dataset)
    except ImportError:
        pass
    return found


def seconds(batches, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return time.perf_counter() - start


def images_per_second(source, augmentation, rounds: int) -> dict:
    """In turns, each alone and anew: a pipeline fills its buffers while nobody asks it."""
    taken = {}
    for _ in range(rounds):
        for name in pipelines(source, augmentation):
            batches = pipelines(source, augmentation)[name]
            seconds(batches, 2)
            taken.setdefault(name, []).append(seconds(batches, 10))
            del batches
    return {name: 10 * BATCH / statistics.median(times) for name, times in taken.items()}


def waiting(source, rounds: int) -> dict:
    """Time of CRATE-Tiny's steps behind each pipeline, over that on one batch in memory."""
    batch = next(pipelines(source, Augmentation())["pydataset"])
    model = keras_crate.CRATETiny(classes=10)
    model.compile("adamw", "categorical_crossentropy")
    model.train_on_batch(*batch)
    running = pipelines(source, RECIPES["crop, flip, RandAugment(2, 14)"])
    for batches in running.values():
        seconds(batches, 1)
    taken = {"in memory": [], **{name: [] for name in running}}
    for _ in range(rounds):
        for name in taken:
            start = time.perf_counter()
            images, labels = batch if name == "in memory" else next(running[name])
            model.train_on_batch(np.asarray(images), np.asarray(labels))
            taken[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(times) for name, times in taken.items()}
    ratios = {name: value / middle["in memory"] for name, value in middle.items()}
    return {"images_per_second": BATCH / middle["in memory"], "time_ratios": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--one-core", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = photographs(Path(folder))
        if arguments.one_core:
            found = {
                name: images_per_second(source, augmentation, arguments.rounds)
                for name, augmentation in RECIPES.items()
            }
            print(json.dumps(found))
            return
        command = [sys.executable, __file__, "--one-core", "--rounds", str(arguments.rounds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        training = waiting(source, arguments.rounds)
    report = {
        "date": datetime.date.today().isoformat(),
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "images": "JPEG, 500 x 375, to 224 x 224",
        "images_per_second_on_one_core": found,
        "training_crate_tiny": training,
    }
    print(json.dumps(report, indent=1))
    file = arguments.output / f"input_pipeline_{keras.backend.backend()}.json"
    file.write_text(json.dumps(report, indent=1) + "\n", "utf8")


if __name__ == "__main__":
    main()
