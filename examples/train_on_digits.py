"""Trains a small CRATE on 4,000 MNIST digits, and measures it before and after.

    python examples/train_on_digits.py
    python examples/train_on_digits.py --fast

Writes model.keras, metrics.json and layers.png, and prints coding rate and sparsity at every
block. The variant `crate_demo_mnist` was trained by it, with seed 0 on JAX.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import keras_crate  # before keras, for which it picks an installed backend
import keras
import numpy as np
from keras_crate.compiled.labels import Accuracy, Crossentropy
from keras_crate.data import LabelledImages
from keras_crate.figure import legend_beside, new_figure
from keras_crate.models import CRATE
from keras_crate.objective import LayerMeasurements, measure
from keras_crate.objective.layer_measurements import draw_curves
from keras_crate.training.demo_results import draw_attention
from keras_crate.training.progress import RichProgress
from keras_crate.training.schedule import warmup_cosine
from scipy import ndimage


@dataclasses.dataclass(frozen=True)
class DemoRecipe:
    """Settings of the training.

    Attributes:
        dim: Token width.
        depth: Number of blocks.
        heads: Number of heads per block.
        patch_size: Side of a patch in pixels.
        pooling: `"token"` or `"avg"`.
        epochs: Number of epochs.
        warmup_epochs: Number of first epochs in which the learning rate grows.
        batch_size: Number of images per step.
        learning_rate: Highest learning rate of AdamW, with cosine decay to 0.
        weight_decay: Decoupled weight decay.
        label_smoothing: Share of a label that is spread over all classes.
        train_images: Number of training images, or None for all.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 4
    patch_size: int = 7
    pooling: str = "token"
    epochs: int = 90
    warmup_epochs: int = 3
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    train_images: int | None = None


FULL = DemoRecipe()
FAST = dataclasses.replace(FULL, epochs=4, warmup_epochs=1, train_images=2000)


def distort(
    images: np.ndarray,
    rng: np.random.Generator,
    shift: float = 2.5,
    rotation: float = 15.0,
    zoom: float = 0.12,
    shear: float = 0.15,
) -> np.ndarray:
    """Shifts (pixels), rotates (degrees), zooms and shears each image at random.

    One bilinear interpolation of the whole batch makes all changes. On a CPU this is many
    times faster than Keras' augmentation layers.
    """
    n, height, width, channels = images.shape
    angle = np.deg2rad(rng.uniform(-rotation, rotation, n))
    zoom_y, zoom_x = np.exp(rng.uniform(-zoom, zoom, (2, n)))
    slant = rng.uniform(-shear, shear, n)
    move_y, move_x = rng.uniform(-shift, shift, (2, n))
    sine, cosine = np.sin(angle), np.cos(angle)
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[:height, :width] - np.array([centre_y, centre_x])[:, None, None]

    def linear(a, b, c):
        return a[:, None, None] * y + b[:, None, None] * x + c[:, None, None]

    source_y = linear(cosine * zoom_y, -sine * zoom_x + slant, centre_y + move_y)
    source_x = linear(sine * zoom_y, cosine * zoom_x, centre_x + move_x)
    index = np.broadcast_to(np.arange(n)[:, None, None], source_y.shape)
    images = images.astype("float32")
    planes = [
        ndimage.map_coordinates(images[..., c], [index, source_y, source_x], order=1)
        for c in range(channels)
    ]
    return np.stack(planes, axis=-1)


class DistortedImages(keras.utils.PyDataset):
    """Training batches, shuffled and distorted differently at each epoch."""

    def __init__(self, images, labels, batch_size: int, seed: int):
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size, self.seed = min(batch_size, len(images)), seed
        self.epoch = -1
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        chosen = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        rng = np.random.default_rng([self.seed, self.epoch, index])
        return distort(self.images[chosen], rng), self.labels[chosen]

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))


def train_on_digits(
    output: Path,
    recipe: DemoRecipe = FULL,
    images: LabelledImages | None = None,
    seed: int = 0,
    say=print,
    callbacks=(),
) -> dict:
    """Trains a small CRATE, measures it and writes the results into a folder.

    Args:
        output: The folder.
        recipe: The settings.
        images: The training and validation images, as arrays. By default, 5,000 MNIST digits.
        seed: The same seed gives the same model on one backend.
        say: Function that prints a line of text.
        callbacks: Keras callbacks for the training.

    Returns:
        The content of `metrics.json`.
    """
    new_figure(1, 1)  # without matplotlib this fails before the training, not after it
    output.mkdir(parents=True, exist_ok=True)
    images = images or keras_crate.data.load("mnist5k")
    train, validation = images.train, images.validation
    train_x, train_y = (a[: recipe.train_images] for a in (train.images, train.labels))
    validation_x, validation_y = validation.images, validation.labels
    say(f"{len(train_x):,} training and {len(validation_x):,} validation images: {images.source}")

    keras.utils.set_random_seed(seed)
    model = _model(recipe, images.class_names, train_x)
    say(f"{model.count_params():,} parameters, backend {keras.backend.backend()}")
    untrained = measure(model, validation_x[:256])
    start = time.monotonic()
    batches = DistortedImages(train_x, train_y, recipe.batch_size, seed)
    learning_rate = warmup_cosine(
        recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, len(batches)
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(learning_rate, weight_decay=recipe.weight_decay),
        loss=Crossentropy(label_smoothing=recipe.label_smoothing),
        metrics=[Accuracy(name="accuracy")],
    )
    callbacks = [*callbacks, RichProgress(len(batches), recipe.epochs)]
    history = model.fit(batches, epochs=recipe.epochs, callbacks=callbacks, verbose=0).history
    seconds = time.monotonic() - start

    probabilities = model.predict(validation_x, verbose=0)
    accuracy = float((probabilities.argmax(axis=1) == validation_y).mean())
    measured = measure(model, validation_x[:256])
    say(f"\nvalidation accuracy {accuracy:.1%} after {seconds:.0f} s\n\n{measured}\n")

    metrics = {
        "accuracy": accuracy,
        "validation_images": len(validation_x),
        "training_seconds": round(seconds, 1),
        "seed": seed,
        "backend": keras.backend.backend(),
        "versions": {"keras": keras.__version__, "keras_crate": keras_crate.__version__},
        "recipe": dataclasses.asdict(recipe),
        "parameters": model.count_params(),
        "data": images.source,
        "history": history,
        "layers_untrained": untrained.to_dict(),
        "layers": measured.to_dict(),
    }
    figure = _figure(model, validation_x[:6], measured, untrained)
    figure.savefig(output / "layers.png", dpi=200)
    model.save(output / "model.keras")
    (output / "metrics.json").write_text(json.dumps(metrics, indent=1), encoding="utf8")
    say(f"wrote model.keras, metrics.json and layers.png to {output.resolve()}")
    return metrics


def _model(recipe: DemoRecipe, class_names, train_x) -> CRATE:
    pixels = train_x.astype("float64") / 255
    return CRATE(
        dim=recipe.dim,
        depth=recipe.depth,
        heads=recipe.heads,
        input_shape=train_x.shape[1:],
        patch_size=recipe.patch_size,
        classes=len(class_names),
        pooling=recipe.pooling,
        mean=pixels.mean(axis=(0, 1, 2)).tolist(),
        std=pixels.std(axis=(0, 1, 2)).tolist(),
        class_names=class_names,
        data_format="channels_last",
        name="crate_demo",
    )


def _figure(model: CRATE, images, measured: LayerMeasurements, untrained: LayerMeasurements):
    """Draws the layers' curves, and a few grey images with the attention of their class token."""
    figure = new_figure(8, 5.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    curves = above.subplots(1, 2)
    draw_curves(untrained, *curves, label="untrained", colour="0.6")
    draw_curves(measured, *curves, label="trained")
    legend_beside(curves[1])
    draw_attention(below, model, images)
    return figure


def main() -> None:
    """Trains by the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("crate-on-digits"))
    parser.add_argument("--fast", action="store_true", help="four epochs on 2,000 digits")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    arguments = parser.parse_args()
    recipe = FAST if arguments.fast else FULL
    if arguments.epochs is not None:
        recipe = dataclasses.replace(recipe, epochs=arguments.epochs)
    train_on_digits(arguments.output, recipe, seed=arguments.seed)


if __name__ == "__main__":
    main()
