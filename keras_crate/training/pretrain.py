"""Pre-training by the paper's recipe, on a folder of labelled images."""

import dataclasses
import os
import types
from pathlib import Path

import keras

from keras_crate.data import TrainingFiles
from keras_crate.hub.evaluation import Evaluation, accuracy
from keras_crate.hub.labelled_images import labelled_images
from keras_crate.hub.registry import variant_named
from keras_crate.models.checks import check_positive
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.schedule import warmup_cosine


@dataclasses.dataclass(frozen=True)
class PretrainRecipe:
    """The optimisation, in numbers; by default the paper's.

    Attributes:
        epochs: Passes over the images.
        warmup_epochs: Of these, those of a growing learning rate.
        batch_size: Images a step.
        learning_rate: Highest learning rate of Lion; cosine decay to 0.
        weight_decay: Decoupled weight decay.
        label_smoothing: Share of a label spread over all classes.
    """

    epochs: int = 150
    warmup_epochs: int = 5
    batch_size: int = 2048
    learning_rate: float = 2.4e-4
    weight_decay: float = 0.5
    label_smoothing: float = 0.1

    def __post_init__(self):
        check_positive("epochs", self.epochs)
        check_positive("batch_size", self.batch_size)
        for name, valid, accepted in (
            ("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, "in [0, epochs]"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "in [0, 1)"),
        ):
            if not valid:
                raise ValueError(f"`{name}` must be {accepted}. Received: {getattr(self, name)!r}")


PAPER = PretrainRecipe()


def pretrain(
    model: str | WhiteBoxModel,
    folder: str | os.PathLike,
    output: str | os.PathLike = "crate-pretrain",
    *,
    recipe: PretrainRecipe = PAPER,
    validation: str | os.PathLike | None = None,
    seed: int = 0,
    workers: int = 1,
    verbose: int = 1,
) -> types.SimpleNamespace:
    """Trains a classifier on a folder of images, by the recipe of CRATE's paper.

    Lion with warm-up and cosine decay, label smoothing, random crops and
    flips. After every epoch `model.keras` and `history.csv` are written.

    Args:
        model: The name of a variant, whose model is made without its weights;
            or a model of this package.
        folder: One folder of images a class, named by the class or, of
            ImageNet's, by its WordNet identifier.
        output: Folder to write to; made if it does not exist.
        recipe: The optimisation.
        validation: Such a folder, on which the accuracy is measured at the end.
        seed: The same seed gives the same batches and initial values.
        workers: Threads that read images.
        verbose: As in `keras.Model.fit`.

    Returns:
        A namespace: `model`, `history` (lists by name), `accuracy` (or None)
        and `file`.

    Raises:
        ValueError: If there is no such variant, it is no classifier, or the
            folder does not suit it.
        OSError: If the output cannot be written.

    Example:

    ```python
    recipe = keras_crate.training.PretrainRecipe(epochs=1, warmup_epochs=0, batch_size=2)
    model = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2)
    run = keras_crate.training.pretrain(model, "classes", recipe=recipe)
    ```

    Reference:
        Yu et al., "White-Box Transformers via Sparse Rate Reduction",
        arXiv:2306.01129, section 3 (the experiments' settings).
    """
    keras.utils.set_random_seed(seed)
    evaluation = None
    if isinstance(model, str):
        variant = variant_named(model)
        model, evaluation = variant.build(weights=None), variant.evaluation
    if not isinstance(model, WhiteBoxModel):
        raise ValueError(
            "`model` must be the name of a variant or a model of keras_crate. Received: "
            f"{type(model).__name__}"
        )
    evaluation = evaluation or Evaluation.for_model(model)
    if getattr(model.settings, "data_format", "channels_last") != "channels_last":
        raise ValueError("`model` must take channels last. Received: a model of channels first")
    _, labels, _ = labelled_images(model, evaluation, folder)
    held_out = validation and labelled_images(model, evaluation, validation)  # a fault now, not
    output = Path(output)  # after days
    output.mkdir(parents=True, exist_ok=True)
    batches = TrainingFiles(
        list(labels),
        list(labels.values()),
        model.output_shape[-1],
        model.input_shape[1:],
        recipe.batch_size,
        seed,
        workers=workers,
    )
    _compile(model, recipe, len(batches))
    file = output / "model.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(file)),
        keras.callbacks.CSVLogger(str(output / "history.csv")),
        keras.callbacks.TerminateOnNaN(),
    ]
    history = model.fit(batches, epochs=recipe.epochs, callbacks=callbacks, verbose=verbose).history
    found = None
    if held_out:
        images, truth, _ = held_out
        found = accuracy(model, images, truth, verbose=verbose)
    return types.SimpleNamespace(model=model, history=history, accuracy=found, file=file)


def _compile(model, recipe: PretrainRecipe, steps: int) -> None:
    schedule = warmup_cosine(recipe.learning_rate, recipe.epochs, recipe.warmup_epochs, steps)
    activation = keras.activations.get(model.settings.classifier_activation)
    logits = activation is keras.activations.linear
    model.compile(
        optimizer=keras.optimizers.Lion(schedule, weight_decay=recipe.weight_decay),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=logits, label_smoothing=recipe.label_smoothing
        ),
        metrics=["accuracy"],
    )
