"""A run: `model.fit` by a recipe, in a folder that holds all there is to know of it."""

import dataclasses
import importlib.util
import os
import time
import types
from collections.abc import Callable, Sequence

import keras

from keras_crate.data import (
    LabelledImages,
    TrainingBatches,
    training_dataset,
)
from keras_crate.data.batches import check_batch_size, image_mode
from keras_crate.data.image_sources import FileSource, HuggingFaceSource, ImageSource, TFDSSource
from keras_crate.evaluation import Evaluation
from keras_crate.models import CRATEMAE
from keras_crate.models.checks import check_positive
from keras_crate.training.checkpoints import Backup, Checkpoints
from keras_crate.training.divergence import FiniteLoss
from keras_crate.training.epoch_seeds import EpochSeeds
from keras_crate.training.losses import SmoothedBinaryCrossentropy
from keras_crate.training.model_to_train import freeze_all_but_head
from keras_crate.training.optimizers import build_optimizer
from keras_crate.training.progress import RichProgress, Throughput
from keras_crate.training.recipe import WHOLE, Recipe
from keras_crate.training.run_folder import RunFolder, write_json
from keras_crate.training.trackers import WandbRecord, tensorboard

PIPELINES = ("auto", "tf.data", "pydataset")


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What does not belong to a recipe.

    Attributes:
        seed: The same seed gives the same numbers on one backend.
        augment: As in `keras_crate.data.TrainingBatches`.
        pipeline: `"tf.data"`, `"pydataset"`, which needs no TensorFlow, or
            `"auto"` for the first where TensorFlow is installed.
        workers: Threads that read images, of `"pydataset"` and of the held-out
            images; by default one a core.
        tensorboard: Whether to write TensorBoard's records to the folder.
        wandb: Project of Weights & Biases to record in, or None.
        callbacks: Further Keras callbacks.
        verbose: 1 for a bar and a line an epoch, 2 for Keras' lines, 0 for none.

    Raises:
        ValueError: If one is out of range.

    Example:

    ```python
    keras_crate.training.RunOptions(seed=1, pipeline="pydataset", workers=2)
    ```
    """

    seed: int = 0
    augment: Callable | None = None
    pipeline: str = "auto"
    workers: int | None = None
    tensorboard: bool = False
    wandb: str | None = None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    verbose: int = 1

    def __post_init__(self):
        if self.pipeline not in PIPELINES:
            raise ValueError(
                f"`pipeline` must be one of {', '.join(PIPELINES)}. Received: {self.pipeline!r}"
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise ValueError(f"`seed` must be in [0, 2^31). Received: seed={self.seed!r}")
        if self.workers is None:
            object.__setattr__(self, "workers", os.cpu_count() or 1)  # the class is frozen
        check_positive("workers", self.workers)


def train(
    model: keras.Model,
    data: LabelledImages,
    recipe: Recipe,
    output,
    options: RunOptions,
    origin: str,
) -> types.SimpleNamespace:
    """Trains a model, or goes on with a run that was begun in the folder.

    Args:
        model: What to train; its weights are changed.
        data: The images.
        recipe: How.
        output: The run's folder.
        options: What else.
        origin: What the model is, in a word, to tell one run from another.

    Returns:
        A namespace: `model`, `history` (lists by name, of all epochs), `metrics`
        (what metrics.json holds), `folder`, `file` and `best` (or None).

    Raises:
        TrainingDiverged: If the loss is not finite.
        ValueError: If another run was begun in the folder.
        OSError: If it cannot be written.
    """
    say = print if options.verbose else (lambda line: None)
    about = {
        "model": origin,
        "parameters": model.count_params(),
        "data": data.source,
        "classes": data.classes,
        "images": len(data.train),
        "validation_images": len(data.validation) if data.validation is not None else 0,
        "seed": options.seed,
        "pipeline": _pipeline(options.pipeline, data.train),
    }
    evaluation = evaluation_of(recipe, model)
    if recipe.train_only == "head":
        freeze_all_but_head(model)
    pipeline = _Pipeline(about["pipeline"], model, data, recipe, options)
    classifies = not isinstance(model, CRATEMAE)
    if not classifies and (recipe.label_smoothing or recipe.mixup or recipe.cutmix):
        raise ValueError(
            "`label_smoothing`, `mixup` and `cutmix` are for models that learn labels. Received: "
            "one of them above 0, with a CRATEMAE. Set them to 0."
        )
    compile_model(model, recipe, pipeline.steps, classifies)
    model.optimizer.build(model.trainable_variables)

    validation = None
    if data.validation is not None and classifies:
        batch_size = min(max(recipe.batch_size, 64), 256)  # whatever the batch of training
        validation = evaluation.batches(data.validation, model, batch_size, options.workers)

    folder = RunFolder(output)
    folder.begin(recipe, about)
    write_json(folder.evaluation, evaluation.to_dict())
    backup = Backup(folder.backup)
    done = backup.newest() or 0
    folder.keep_rows(done)
    say(
        f"{len(data.train):,} images of {data.classes} classes to train on, "
        f"{about['validation_images']:,} held out: {data.source}; {model.count_params():,} "
        f"parameters, {keras.backend.backend()}, images by {about['pipeline']}"
        + (" (TensorFlow is not installed)" if not _has_tensorflow() else "")
        + (f"; going on after {done} epochs" if done else "")
    )
    monitor = ("val_accuracy", True) if validation is not None else (None, False)
    batches, bar = pipeline.from_epoch(done), RichProgress(pipeline.steps)
    follows = about["pipeline"] == "pydataset"
    seeds = EpochSeeds(options.seed, batches if follows else None)
    wandb = options.wandb and WandbRecord(options.wandb, folder.path, {**about, **recipe.to_dict()})
    callbacks = [
        seeds,
        FiniteLoss(backup, seeds, pipeline.of_epoch, say),
        *([keras.callbacks.SwapEMAWeights()] if recipe.ema else []),
        Throughput(pipeline.steps * pipeline.batch_size),
        keras.callbacks.CSVLogger(str(folder.history), append=True),
        *([tensorboard(folder.path / "tensorboard")] if options.tensorboard else []),
        *([wandb] if wandb else []),
        *([bar] if options.verbose == 1 else []),
        *options.callbacks,
        Checkpoints(folder, *monitor, moving_average=recipe.ema is not None),
        backup,
    ]
    start = time.monotonic()
    try:
        model.fit(
            batches,
            epochs=recipe.epochs,
            steps_per_epoch=pipeline.steps_argument,
            validation_data=validation,
            shuffle=False,  # batches are shuffled already, as the seed has it
            callbacks=callbacks,
            verbose=2 if options.verbose == 2 else 0,
        )
    except Exception as error:
        _name_broken_file(error, data.train, pipeline.mode)
        raise
    finally:
        bar.close()
        if wandb:
            wandb.close()
    rows = folder.rows()
    metrics = {
        "epochs": recipe.epochs,
        "seconds": round(time.monotonic() - start, 1),
        "resumed_after": done,
        **{name: value for name, value in rows[-1].items() if name != "epoch"},
    }
    if monitor[0]:
        best = max(rows, key=lambda row: row["val_accuracy"])
        metrics |= {"best_epoch": int(best["epoch"]) + 1, "best_val_accuracy": best["val_accuracy"]}
    folder.draw()
    write_json(folder.metrics, metrics)
    backup.remove()
    return types.SimpleNamespace(
        model=model,
        history={name: [row[name] for row in rows] for name in rows[0] if name != "epoch"},
        metrics=metrics,
        folder=folder.path,
        file=folder.model,
        best=folder.best if folder.best.exists() else None,
    )


def compile_model(model, recipe: Recipe, steps: int, classifies: bool = True) -> None:
    """Compiles a model as a recipe says.

    Args:
        model: The model.
        recipe: The settings.
        steps: Batches an epoch.
        classifies: False for a model that has its own loss.

    Raises:
        ValueError: If the loss does not suit the model's outputs.
    """
    optimizer = build_optimizer(recipe, model, steps)
    if not classifies:
        model.compile(optimizer=optimizer)
        return
    activation = _activation(model)
    logits = activation is keras.activations.linear
    if recipe.loss == "binary_crossentropy":
        if activation is keras.activations.softmax:
            raise ValueError(
                "`loss` binary_crossentropy needs a model of logits or sigmoids. Received: a "
                "model with softmax. Make it with `classifier_activation=None`."
            )
        loss = SmoothedBinaryCrossentropy(recipe.label_smoothing, from_logits=logits)
    else:
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=logits, label_smoothing=recipe.label_smoothing
        )
    metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if model.output_shape[-1] > 5:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5"))
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics)


def evaluation_of(recipe: Recipe, model: keras.Model) -> Evaluation:
    """How held-out images are brought to a model that a recipe trains.

    Args:
        recipe: The settings.
        model: The model.
    """
    customary = Evaluation.for_model(model)
    crop, size = recipe.evaluation_crop, customary.size
    resize = size if crop == WHOLE else round(min(size) / crop)
    return dataclasses.replace(
        customary, resize=resize, interpolation=recipe.evaluation_interpolation
    )


class _Pipeline:
    """Training batches by either pipeline, from any epoch on."""

    def __init__(self, kind, model, data: LabelledImages, recipe: Recipe, options: RunOptions):
        self.shape = tuple(model.input_shape[1:])
        self.classes = data.classes
        self.source, self.options, self.kind = data.train, options, kind
        self.augmentation, self.wanted = recipe.augmentation(), recipe.batch_size
        self.mode = image_mode(self.shape)
        self.batch_size = check_batch_size(self.wanted, len(self.source))
        self.steps = len(self.source) // self.batch_size
        have, wanted = self.source.channels, self.shape[-1]
        if have != wanted and 4 in (have, wanted):
            raise ValueError(
                f"The images must have as many channels as the model, {wanted}. Received: {have}"
            )
        if wanted == 4 and self.augmentation.rand_augment:
            raise ValueError(
                "`rand_augment` is for grey and RGB images. Received: images of 4 channels. Set it "
                "to none."
            )

    @property
    def steps_argument(self) -> int | None:
        """`steps_per_epoch` of `fit`: a tf.data pipeline has no end."""
        return self.steps if self.kind == "tf.data" else None

    def from_epoch(self, epoch: int):
        """What `fit` is given to go on after some epochs."""
        arguments = (self.source, self.classes, self.shape, self.wanted, self.augmentation)
        seed, augment = self.options.seed, self.options.augment
        if self.kind == "tf.data":
            return training_dataset(*arguments, seed, epoch, augment)[0]
        return TrainingBatches(*arguments, seed, epoch, augment, self.options.workers)

    def of_epoch(self, epoch: int):
        """The batches of one epoch, as arrays."""
        batches = self.from_epoch(epoch)
        if self.kind == "tf.data":
            yield from batches.take(self.steps).as_numpy_iterator()
        else:
            yield from (batches[k] for k in range(self.steps))


def _pipeline(wanted: str, source: ImageSource) -> str:
    """The pipeline that is taken; refuses one that cannot read the images."""
    if isinstance(source, HuggingFaceSource):
        if wanted == "tf.data":
            raise ValueError(
                "`pipeline` must be pydataset for data sets of Hugging Face. Received: 'tf.data'"
            )
        return "pydataset"
    if isinstance(source, TFDSSource):
        if wanted == "pydataset":
            raise ValueError(
                "`pipeline` must be tf.data for TensorFlow's data sets. Received: 'pydataset'"
            )
        return "tf.data"
    unread = _tiff(source)
    if wanted == "tf.data" and unread:
        raise ValueError(f"`pipeline` must be pydataset for TIFF images. Received: {unread}")
    if wanted == "auto":
        return "tf.data" if _has_tensorflow() and not unread else "pydataset"
    return wanted


def _tiff(source: ImageSource):
    """A file that TensorFlow does not decode and Pillow does, or None."""
    files = source.files if isinstance(source, FileSource) else ()
    return next((file for file in files if file.suffix.lower() in (".tif", ".tiff")), None)


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _activation(model):
    """The function by which a classifier's outputs come about."""
    settings = getattr(model, "settings", None)
    if hasattr(settings, "classifier_activation"):
        return keras.activations.get(settings.classifier_activation)
    return getattr(model.layers[-1], "activation", keras.activations.softmax)


def _name_broken_file(error: Exception, source: ImageSource, mode: str) -> None:
    """Where TensorFlow could not decode an image, it does not say which."""
    if type(error).__name__ != "InvalidArgumentError" or not isinstance(source, FileSource):
        return
    for k in range(len(source)):
        source.image(k, mode)
