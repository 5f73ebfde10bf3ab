"""Does a CRATE-Tiny learn from drawings of fractals what helps with photographs?

Trains CRATE-Tiny at 224x224 pixels to tell classes of fractals (fractal_images.py). Then
compares it with the same model with random weights, on 2,000 garments of Fashion-MNIST at that
size: a linear classifier on the features, and fine-tuning. Accuracies are of 2,000 other garments.

    python examples/fractals.py --precision mixed_bfloat16   # on a GPU

Writes fractals.json and the runs into a folder. Started again, it continues where it stopped.
"""

import argparse
import json
import shutil
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
from keras_crate import data
from keras_crate.evaluation import features_of, linear_accuracy
from keras_crate.training import Recipe, finetune, pretrain
from fractal_images import fractals


def garments(name: str, count: int, size: int):
    """Training and other images of a set, resized by repeating and bilinear weights."""
    images = data.open_data(name)
    parts = []
    for source in (images.train.sample(count), images.validation.sample(count)):
        resized = keras.ops.image.resize(source.images.astype("float32"), (size, size))
        pixels = keras.ops.convert_to_numpy(resized).clip(0, 255).astype("uint8")
        parts.append((pixels, source.labels))
    return parts


def worth(model: keras.Model, train, other, recipe: Recipe, folder: Path) -> dict:
    """Accuracy in per cent of a linear classifier on the features, and after fine-tuning."""
    record = folder / "metrics.json"
    if record.exists():
        return json.loads(record.read_text())
    classes = int(train[1].max()) + 1

    def batches(images, labels):
        labels = keras.utils.to_categorical(labels, classes)
        return [(images[k : k + 250], labels[k : k + 250]) for k in range(0, len(images), 250)]

    linear = linear_accuracy(
        *features_of(model, batches(*train)), *features_of(model, batches(*other))
    )
    shutil.rmtree(folder / "run", ignore_errors=True)  # of a command that was interrupted
    run = finetune(model, train, folder / "run", recipe=recipe, validation=other, verbose=0)
    found = {"linear": linear.summary()["top1"], "tuned": 100 * run.history["val_accuracy"][-1]}
    record.write_text(json.dumps(found), "utf8")
    return found


def main() -> None:
    """Trains, compares and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-fractals"))
    parser.add_argument("--size", default="CRATETiny", help="constructor (%(default)s)")
    parser.add_argument("--pixels", type=int, default=224, help="side of an image (%(default)s)")
    parser.add_argument("--classes", type=int, default=500, help="(%(default)s)")
    parser.add_argument("--each", type=int, default=100, help="images of a class (%(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="(%(default)s)")
    parser.add_argument("--garments", type=int, default=2000, help="to learn from (%(default)s)")
    parser.add_argument("--tune", type=int, default=15, help="epochs of fine-tuning (%(default)s)")
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--precision", help="such as mixed_bfloat16")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (%(default)s)")
    arguments = parser.parse_args()

    folder, shape = arguments.output, (arguments.pixels, arguments.pixels, 1)
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        epochs=arguments.epochs, warmup_epochs=1, batch_size=256, learning_rate=1e-3,
        clip_norm=1.0, label_smoothing=0.1, precision=arguments.precision, crop_area=None,
        evaluation_crop="whole",
    )  # fmt: skip
    keras.utils.set_random_seed(0)
    make = getattr(keras_crate, arguments.size)
    models = {"random": make(input_shape=shape, classes=arguments.classes)}
    if not (folder / "run" / "metrics.json").exists():
        drawn = fractals(arguments.classes, arguments.each, arguments.pixels, arguments.workers)
        print(f"{len(drawn[0]):,} drawings of {arguments.classes} classes", flush=True)
        model = make(input_shape=shape, classes=arguments.classes)
        pretrain(model, drawn, folder / "run", recipe=recipe, validation=0.04, verbose=2)
    models["trained"] = keras.saving.load_model(folder / "run" / "model.keras", compile=False)
    tuning = recipe.with_changes(epochs=arguments.tune, batch_size=64, learning_rate=5e-4)
    train, other = garments(arguments.data, arguments.garments, arguments.pixels)
    found = {"fractals": json.loads((folder / "run" / "metrics.json").read_text("utf8"))}
    for name, model in models.items():
        found[name] = worth(model, train, other, tuning, folder / name)
        print(name, found[name], flush=True)
    (folder / "fractals.json").write_text(json.dumps(found, indent=1), "utf8")


if __name__ == "__main__":
    main()
