"""The demo: a small CRATE trained, measured and saved."""

import dataclasses
import json
import os
import time
from pathlib import Path

import keras
import numpy as np

from keras_crate import __version__
from keras_crate.data import ImageSet, distort, load
from keras_crate.figure import new_figure
from keras_crate.files import make_folder
from keras_crate.interpret import attention_maps
from keras_crate.models import CRATE, decode_predictions
from keras_crate.models.checks import check_finite, check_positive
from keras_crate.objective import LayerMeasurements, measure
from keras_crate.objective.layer_measurements import draw_curves
from keras_crate.training.schedule import warmup_cosine


@dataclasses.dataclass(frozen=True)
class DemoRecipe:
    """What the demo does, in numbers.

    Attributes:
        dim: Token width.
        depth: Blocks.
        heads: Heads a block.
        patch_size: Side of a patch in pixels.
        pooling: `"token"` or `"avg"`.
        epochs: Passes over the training images.
        warmup_epochs: Of these, those of a growing learning rate.
        batch_size: Images a step.
        learning_rate: Highest learning rate of AdamW; cosine decay to 0.
        weight_decay: Decoupled weight decay.
        label_smoothing: Share of a label spread over all classes.
        train_images: How many training images, or None for all.
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
    """Training batches: shuffled and distorted anew at every epoch.

    Args:
        images: Array of shape `(n, height, width, channels)`, in [0, 255].
        labels: One-hot labels `(n, classes)`.
        batch_size: Images a batch; what is left over waits for the next epoch.
        seed: The same seed gives the same batches.
        **kwargs: As in `keras.utils.PyDataset`.
    """

    def __init__(self, images, labels, batch_size: int, seed: int, **kwargs):
        super().__init__(**kwargs)
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
        rng = np.random.default_rng([self.seed, self.epoch])
        self.order = rng.permutation(len(self.images))


def run_demo(
    output: str | os.PathLike = "crate-demo",
    recipe: DemoRecipe = FULL,
    images: ImageSet | None = None,
    seed: int = 0,
    say=print,
    callbacks=(),
) -> dict:
    """Trains a small CRATE on real images, measures it, and writes what it found.

    Written to the output folder: `model.keras`, `metrics.json` and
    `layers.png`.

    Args:
        output: Folder; made if it does not exist.
        recipe: Sizes and schedule.
        images: What to train on; by default 5,000 MNIST digits.
        seed: The same seed gives the same model on one backend.
        say: What is called with each line of text.
        callbacks: Keras callbacks for the training.

    Returns:
        What `metrics.json` holds.

    Raises:
        ValueError: If images have pixels that are NaN or infinite, or there is
            no epoch to train.
        OSError: If the folder cannot be written; before any training.

    Example:

    ```python
    metrics = keras_crate.training.run_demo("crate-demo")
    ```
    """
    check_positive("epochs", recipe.epochs)
    new_figure(1, 1)  # if it cannot draw, it says so before it trains
    output = Path(output)
    make_folder(output)
    images = images or load("mnist5k")
    train_x, train_y = (part[: recipe.train_images] for part in images.train)
    test_x, test_y = images.test
    for part in (train_x, test_x):
        check_finite(part)
    say(f"{len(train_x):,} images to train on, {len(test_x):,} held out: {images.source}")

    keras.utils.set_random_seed(seed)
    model = _model(recipe, images, train_x)
    say(f"{model.count_params():,} parameters, backend {keras.backend.backend()}")
    untrained = measure(model, test_x[:256])
    start = time.monotonic()
    batches = DistortedImages(
        train_x, np.eye(len(images.class_names))[train_y], recipe.batch_size, seed
    )
    _compile(model, recipe, steps_per_epoch=len(batches))
    history = model.fit(batches, epochs=recipe.epochs, verbose=1, callbacks=list(callbacks)).history
    seconds = time.monotonic() - start

    probabilities = model.predict(test_x, verbose=0)
    accuracy = float((probabilities.argmax(axis=1) == test_y).mean())
    measured = measure(model, test_x[:256])
    say(f"\nheld-out accuracy {accuracy:.1%} after {seconds:.0f} s\n\n{measured}\n")

    metrics = {
        "accuracy": accuracy,
        "test_images": len(test_x),
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
    files = {name: output / name for name in ("model.keras", "metrics.json", "layers.png")}
    model.save(files["model.keras"])
    files["metrics.json"].write_text(json.dumps(metrics, indent=2), encoding="utf8")
    figure = demo_figure(model, test_x[:6], measured, untrained)
    figure.savefig(files["layers.png"], dpi=200)
    for file in files.values():
        say(f"wrote {file.resolve()}")
    say("\nLoad the model with:")
    say(
        "  import keras_crate, keras; "
        f"model = keras.saving.load_model({str(files['model.keras'].resolve())!r})"
    )
    return metrics


def _model(recipe: DemoRecipe, images: ImageSet, train_x) -> CRATE:
    pixels = train_x.astype("float64") / 255
    return CRATE(
        dim=recipe.dim,
        depth=recipe.depth,
        heads=recipe.heads,
        input_shape=train_x.shape[1:],
        patch_size=recipe.patch_size,
        classes=len(images.class_names),
        pooling=recipe.pooling,
        mean=pixels.mean(axis=(0, 1, 2)).tolist(),
        std=pixels.std(axis=(0, 1, 2)).tolist(),
        class_names=images.class_names,
        data_format="channels_last",
        name="crate_demo",
    )


def _compile(model, recipe: DemoRecipe, steps_per_epoch: int) -> None:
    schedule = warmup_cosine(
        recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, steps_per_epoch
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
    )


def demo_figure(model: CRATE, images, measured: LayerMeasurements, untrained: LayerMeasurements):
    """Layer curves above; test images and their class-token attention below.

    Args:
        model: The trained model.
        images: A few images, `(n, height, width, 1)`.
        measured: What `measure` gave after training.
        untrained: What it gave before.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    figure = new_figure(8, 5.6)
    above, below = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    rate_axes, sparsity_axes = above.subplots(1, 2)
    draw_curves(untrained, rate_axes, sparsity_axes, label="untrained", colour="0.6")
    draw_curves(measured, rate_axes, sparsity_axes, label="trained")
    for axes in (rate_axes, sparsity_axes):
        axes.legend(frameon=False)

    maps = attention_maps(model, images).mean(axis=1)
    names = decode_predictions(model.predict(images, verbose=0), model, top=1)
    axes = below.subplots(2, len(images))
    for k, (image, attention, [(name, probability)]) in enumerate(
        zip(images, maps, names, strict=True)
    ):
        axes[0, k].imshow(image[..., 0], cmap="gray")
        axes[0, k].set_title(f"{name} ({probability:.0%})", fontsize=9)
        height, width = image.shape[:2]
        axes[1, k].imshow(image[..., 0], cmap="gray")
        axes[1, k].imshow(
            attention, cmap="magma", alpha=0.75, extent=(-0.5, width - 0.5, height - 0.5, -0.5)
        )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("image")
    axes[1, 0].set_ylabel("attention")
    return figure
