"""The demo from scratch: trains a small CRATE, measures it and saves it."""

import dataclasses
import os
import time

import keras
import numpy as np

from keras_crate import __version__
from keras_crate.checks import check_positive, names_arguments
from keras_crate.compiled.labels import Accuracy, Crossentropy
from keras_crate.data import LabelledImages, load
from keras_crate.data.distortion import distort
from keras_crate.data.image_sources import ArraySource
from keras_crate.figure import legend_beside, new_figure
from keras_crate.models import CRATE
from keras_crate.objective import LayerMeasurements, measure
from keras_crate.objective.layer_measurements import draw_curves
from keras_crate.training.demo_results import demo_folder, draw_attention, write_results
from keras_crate.training.progress import RichProgress
from keras_crate.training.schedule import warmup_cosine


@names_arguments
@dataclasses.dataclass(frozen=True)
class DemoRecipe:
    """Settings of the demo from scratch.

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


@names_arguments(inside={"recipe": DemoRecipe})
def run_demo_from_scratch(
    output: str | os.PathLike = "crate-demo",
    recipe: DemoRecipe = FULL,
    images: LabelledImages | None = None,
    seed: int = 0,
    say=print,
    callbacks=(),
) -> dict:
    """Trains a small CRATE on real images, measures it and saves the results.

    Args:
        output: Folder for `model.keras`, `metrics.json` and `layers.png`: a new
            or empty folder, or that of an earlier demo, which is overwritten.
        recipe: The settings.
        images: The training and validation images, as arrays. By default, 5,000
            MNIST digits.
        seed: The same seed gives the same model on one backend.
        say: Function that prints a line of text.
        callbacks: Keras callbacks for the training.

    Returns:
        The content of `metrics.json`.

    Raises:
        ValueError: If the number of epochs is not positive, or the folder holds
            files that the demo did not write.
        OSError: If the folder cannot be written to.
        ImportError: If matplotlib is not installed.

    Example:

    ```python
    metrics = keras_crate.training.run_demo_from_scratch("crate-demo")
    ```
    """
    check_positive("epochs", recipe.epochs)
    new_figure(1, 1)  # without matplotlib this fails before the training, not after it
    output = demo_folder(output)
    images = images or load("mnist5k")
    train, validation = images.train, images.validation
    if not (isinstance(train, ArraySource) and isinstance(validation, ArraySource)):
        raise ValueError("`images` must hold arrays, such as `keras_crate.data.load` returns.")
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
        "versions": {"keras": keras.__version__, "keras_crate": __version__},
        "recipe": dataclasses.asdict(recipe),
        "parameters": model.count_params(),
        "data": images.source,
        "history": history,
        "layers_untrained": untrained.to_dict(),
        "layers": measured.to_dict(),
    }
    figure = _figure(model, validation_x[:6], measured, untrained)
    write_results(output, model, metrics, {"layers.png": figure}, say)
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
