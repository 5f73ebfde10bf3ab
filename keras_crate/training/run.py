"""A run: trains a model by a recipe, in a folder from which it can be resumed."""

import contextlib
import dataclasses
import os
import time
import types
from collections.abc import Callable, Sequence

import keras

from keras_crate.checks import check_choice, check_positive, names_arguments
from keras_crate.data import LabelledImages
from keras_crate.distributed.devices import Devices, check_distribute
from keras_crate.evaluation import Evaluation
from keras_crate.figure import new_figure
from keras_crate.files import write_json
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.training.callbacks import callbacks_of
from keras_crate.training.checkpoints import Backup
from keras_crate.training.history import RunHistory
from keras_crate.training.losses import learns_labels
from keras_crate.training.other_processes import others_watched
from keras_crate.training.phases import Phase, phases_of
from keras_crate.training.prepared_batches import PreparedBatches, PreparedInput
from keras_crate.training.progress import RichProgress
from keras_crate.training.recipe import WHOLE, Recipe
from keras_crate.training.run_folder import RunFolder
from keras_crate.training.simdino import SimDINO
from keras_crate.training.trackers import WandbRecord
from keras_crate.training.training_input import PIPELINES, TrainingInput


@names_arguments
@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The options of a run that are not part of its recipe.

    Attributes:
        seed: Seed of all random numbers, in [0, 2^31). The same seed gives the
            same results on one backend.
        augment: As in `keras_crate.data.TrainingBatches`.
        pipeline: What makes the batches: `"tf.data"`; `"pydataset"`, which needs
            no TensorFlow; or `"auto"` for tf.data if TensorFlow is installed and
            can read the images.
        workers: Number of threads that read the images of `"pydataset"` and the
            validation images, or None for one per core.
        tensorboard: Whether to write records of TensorBoard to the folder.
        wandb: Project of Weights & Biases to record in, or None.
        callbacks: Further Keras callbacks. Every process calls them. One that stops the
            training must do so in all processes alike, by the values of an epoch.
        distribute: None trains on one device. `"data"` divides each batch among all
            devices. `"auto"` does so if there are several. `"model:N"`, under JAX,
            divides the weights among N devices, and each batch among groups of N.
        verbose: 1 for a progress bar and a line per epoch, 2 for Keras' lines,
            0 for no output.

    Raises:
        ValueError: If a value is out of range.

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
    distribute: str | None = None
    verbose: int = 1

    def __post_init__(self):
        check_distribute(self.distribute)
        check_choice("pipeline", self.pipeline, PIPELINES)
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**31:
            raise ValueError(f"`seed` must be in [0, 2^31). Received: seed={self.seed!r}")
        if self.workers is None:
            object.__setattr__(self, "workers", os.cpu_count() or 1)  # the class is frozen
        check_positive("workers", self.workers)

    def say(self, line: str) -> None:
        """Prints a line, unless the run is silent."""
        if self.verbose:
            print(line)


def train(
    model: keras.Model,
    data: LabelledImages | PreparedBatches,
    recipe: Recipe,
    output: str | os.PathLike,
    options: RunOptions,
    origin: dict[str, str],
    devices: Devices,
) -> types.SimpleNamespace:
    """Trains a model, or resumes the run in the folder.

    `origin` has the name of the `model`, and whether its `weights` are `"initial"` or `"given"`.
    """
    new_figure(1, 1)  # without matplotlib this fails before the training, not after it
    if not devices.is_writer:
        options = dataclasses.replace(options, verbose=0)
    batches: TrainingInput | PreparedInput
    if isinstance(data, PreparedBatches):
        parts = devices.replicas // devices.processes
        batches = PreparedInput(data, recipe, options, parts)
    else:
        batches = TrainingInput(model, data, recipe, options, devices.shard)
    images = batches.batch_size // recipe.accumulate
    devices.check(model, images, batches.pipeline, recipe.accumulate)
    phases = phases_of(recipe)
    for phase in phases:  # what does not fit the model is refused before the folder is made
        with dataclasses.replace(phase, is_final=False).compiled(model, batches.steps):
            pass
    encoder = model.student if isinstance(model, SimDINO) else model
    evaluation = evaluation_of(recipe, encoder)
    validation = test = None
    metrics_as = "metrics"
    if isinstance(data, PreparedBatches):
        validation = data.validation
    elif learns_labels(model):
        if devices.replicas > 1:  # validation images have weights: some only fill the batch
            metrics_as = "weighted_metrics"
        size = min(max(recipe.batch_size // recipe.accumulate, 64), 256)
        validation, test = (
            evaluation.batches(
                source,
                model,
                size,
                options.workers,
                shard=devices.shard,
                multiple_of=devices.replicas,
            )
            if source is not None
            else None
            for source in (data.validation, data.test)
        )
    if isinstance(encoder, WhiteBoxModel):
        evaluation.keep_in(encoder)
    folder = RunFolder(output)
    folder.check()
    about = _about(model, data, batches, origin)
    with contextlib.ExitStack() as stack:
        if devices.is_writer:
            stack.enter_context(folder.reserved())
            folder.begin(recipe, about)
            if not isinstance(encoder, WhiteBoxModel):
                write_json(folder.evaluation, evaluation.to_dict())
        else:
            folder.path.mkdir(parents=True, exist_ok=True)
        stack.enter_context(others_watched(folder.processes, devices))
        if not folder.record.exists():
            raise ValueError(
                "`output` must be a folder that all processes share. Received: "
                f"{folder.path}, which has no {folder.record.name} in process {devices.process}."
            )
        if changed := folder.changed(recipe, about):
            raise ValueError(
                "All processes must have the same settings and data. Received others in process "
                f"{devices.process}: {changed} in process 0."
            )
        backup = _backup_of(folder, devices)
        devices.wait()  # until the other processes have read it too
        done = backup.epochs
        options.say(_summary(folder.settings(), batches, done))
        history = RunHistory(folder.history, done, devices.is_writer)
        start = time.monotonic()
        for number in range(backup.phase, len(phases)):
            backup.running, phase = number, phases[number]
            batches.begin(backup.epochs)
            callbacks = callbacks_of(recipe, batches, folder, history, backup, devices)
            with phase.compiled(model, batches.steps, metrics_as), devices.prepared(model):
                _fit(model, batches, phase, validation, callbacks, devices)
            if backup.epochs < phase.last:  # a callback has stopped the training
                break
        metrics = _metrics(history, done, time.monotonic() - start)
        if test is not None:
            metrics |= _tested(model, test, folder, len(data.test), devices)
        if devices.is_writer:
            history.draw(folder.figure)
            write_json(folder.metrics, metrics)
            backup.remove()
    names = [name for name in history.rows[0] if name != "epoch"]
    return types.SimpleNamespace(
        model=model,
        history={name: [row[name] for row in history.rows] for name in names},
        metrics=metrics,
        process=devices.process,
        folder=folder.path,
        file=folder.model,
        best=folder.best if folder.best.exists() else None,
    )


def evaluation_of(recipe: Recipe, model: keras.Model) -> Evaluation:
    """Returns how validation images are prepared, by a recipe and the model's size."""
    usual = Evaluation.for_model(model)
    crop = recipe.evaluation_crop
    return dataclasses.replace(
        usual,
        resize=usual.size if crop == WHOLE else round(min(usual.size) / crop),
        interpolation=recipe.evaluation_interpolation,
    )


def _about(model, data, batches: TrainingInput | PreparedInput, origin: dict) -> dict:
    """Returns the facts that decide a run's numbers, besides its recipe."""
    return {
        **origin,
        "parameters": model.count_params(),
        "input": "x".join(map(str, model.input_shape[1:])),
        "data": data.source,
        "dataset": getattr(data, "name", None),  # prepared batches have none
        "classes": data.classes,
        **batches.about(),
        "seed": batches.options.seed,
        "pipeline": batches.pipeline,
    }


def _summary(about: dict, batches: TrainingInput | PreparedInput, done: int) -> str:
    weights = "from initial weights" if about["weights"] == "initial" else "with its weights"
    return (
        f"{about['model']} {weights}: {batches.summary()}; "
        f"{about['parameters']:,} parameters, input {about['input']}, {about['backend']}, "
        f"batches by {about['pipeline']}" + (f"; resumed after {done} epochs" if done else "")
    )


def _backup_of(folder: RunFolder, devices: Devices) -> Backup:
    """The backup to resume from."""
    backup = Backup(folder.backup, devices)
    if not backup.manifest.exists() and folder.model.exists():
        raise ValueError(
            f"The run in {folder.path} has no backup to resume from. Put {backup.folder} back, "
            "choose another `output`, or remove the folder to begin again."
        )
    return backup


def _fit(
    model,
    batches: TrainingInput | PreparedInput,
    phase: Phase,
    validation,
    callbacks,
    devices: Devices,
) -> None:
    """Trains the remaining epochs of a phase."""
    model.optimizer.build(model.trainable_variables)  # before a backup restores its state
    try:
        model.fit(
            devices.for_fit(batches.for_fit),
            initial_epoch=batches.first_epoch,
            epochs=phase.last,
            # A tf.data pipeline does not end.
            steps_per_epoch=batches.steps if batches.pipeline == "tf.data" else None,
            validation_data=devices.for_fit(validation),
            validation_steps=None if validation is None else devices.steps(validation),
            shuffle=batches.shuffle,
            callbacks=callbacks,
            verbose=2 if batches.options.verbose == 2 else 0,
        )
    except Exception as error:
        batches.name_broken_file(error)
        raise
    finally:
        for callback in callbacks:
            if isinstance(callback, (RichProgress, WandbRecord)):
                callback.close()


def _metrics(history: RunHistory, done: int, seconds: float) -> dict:
    """The content of metrics.json: the last epoch's values, and which epoch is the best."""
    last = {name: value for name, value in history.rows[-1].items() if name != "epoch"}
    metrics = {
        "epochs": len(history.rows), "seconds": round(seconds, 1), "resumed_after": done, **last,
    }  # fmt: skip
    if best := history.best():
        metrics["best_epoch"] = int(best["epoch"]) + 1
        metrics["best_val_accuracy"] = best["val_accuracy"]
    return metrics


def _tested(model: keras.Model, test, folder: RunFolder, images: int, devices: Devices) -> dict:
    """Measures the accuracy on the test images once, of the file that the run reports.

    The model has the same weights as before at the end. (Its file need not load: that of a
    user's own class does only where the class is known.)
    """
    devices.wait()  # for the file
    file = folder.best if folder.best.exists() else folder.model
    before = [
        (variable, keras.ops.copy(variable.value))
        for variable in (*model.variables, *model.optimizer.variables)
    ]
    try:
        model.load_weights(file)
        with devices.prepared(model):
            batches = devices.for_fit(test)
            steps = devices.steps(test)
            scores = model.evaluate(batches, steps=steps, return_dict=True, verbose=0)
    finally:
        for variable, value in before:
            variable.assign(value)
    return {"test_accuracy": scores["accuracy"], "test_of": file.name, "test_images": images}
