"""Trains small models, on one device or several; `test_same_numbers.py` compares the numbers.

    python training_cases.py DISTRIBUTE FOLDER CASE...

writes FOLDER/CASE, a run, and FOLDER/CASE-PROCESS.json, its numbers.
"""

import csv
import json
import os
import signal
import sys
import types
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from keras_crate import CBT, CRATE, CRATEMAE, CRATEAlpha
from keras_crate.layers.dense import adapters_apart
from keras_crate.training import Recipe, SimDINO, finetune, pretrain
from keras_crate.training.multi_crop import MultiCrop
from keras_crate_cli import main

SIZE = dict(dim=16, depth=1, heads=4, input_shape=(8, 8, 1), patch_size=4)
RECIPE = dict(epochs=2, batch_size=8, learning_rate=1e-2, crop_area=None, evaluation_crop="whole")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (24, 8, 8, 1)).astype("uint8")
DATA = IMAGES, np.arange(24) % 3
VALIDATION = IMAGES[:11], np.arange(11) % 3  # no number of devices divides them

PROCESS = int(os.environ.get("PROCESS") or os.environ.get("RANK", 0))  # RANK is torchrun's
PROCESSES = int(os.environ.get("PROCESSES") or os.environ.get("WORLD_SIZE", 1))


class Batches(keras.utils.PyDataset):
    """This process' rows of batches that the user prepared, with weights."""

    class_names = ("a", "b", "c")

    def __len__(self):
        return 3

    def __getitem__(self, k):
        rows = np.arange(8 * k, 8 * k + 8).reshape(PROCESSES, -1)[PROCESS]
        return *(part[rows] for part in DATA), (0.5 + rows % 2).astype("float32")


# name: how the model is made, and changes of the recipe
CASES = {
    "crate": (
        lambda: CRATE(**SIZE, classes=3),
        dict(ema=0.9, layer_decay=0.7, clip_norm=0.05, warmup_epochs=1),
    ),
    "alpha": (lambda: CRATEAlpha(**SIZE, classes=3), dict(optimizer="lion", learning_rate=1e-3)),
    "cbt": (lambda: CBT(**SIZE, classes=3, representatives=(1, 2)), {}),
    "mae": (lambda: CRATEMAE(**SIZE, seed=0), {}),
    "lora": (lambda: _with_lora(CRATE(**SIZE, classes=3)), {}),
    "simdino": (
        lambda: _simdino(CRATE(**SIZE, include_top=False)),
        dict(optimizer="sgd", learning_rate=0.01),
    ),
    "prepared": (
        lambda: CRATE(**SIZE, classes=3),
        dict(batch_size=24, accumulate=3, head_epochs=1),
    ),
    "accumulated": (lambda: CRATE(**SIZE, classes=3), dict(accumulate=2, clip_norm=0.05)),
    "command": (lambda: CRATE(**SIZE, classes=3), {}),
}


def _with_lora(model):
    model.enable_lora(2)
    return model


def _simdino(encoder):
    return SimDINO(encoder, local_crops=0, projection_dim=8, hidden_dim=16)


def _crops(self, x):
    """Crops that depend on the image alone."""
    return keras.ops.concatenate([x * 1.0, x * 0.7]), None


class _Kill(keras.callbacks.Callback):
    """Kills this process at a moment of an epoch, as KILL="PROCESS EPOCH MOMENT" says.

    A moment is the number of a step, or `validation`, `end` (of the epoch), or `writing` (before
    the first file of the epoch is in its place).
    """

    def __init__(self, epoch: str, moment: str):
        super().__init__()
        self.at, self.epoch = (int(epoch), moment), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self._now(str(batch))

    def on_test_batch_end(self, batch, logs=None):
        self._now("validation")

    def on_epoch_end(self, epoch, logs=None):
        self._now("end")
        if (epoch, "writing") == self.at:
            sys.addaudithook(lambda event, _: event == "os.rename" and self._now("writing"))

    def _now(self, moment: str):
        if (self.epoch, moment) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def _callbacks() -> list[keras.callbacks.Callback]:
    process, *at = os.environ.get("KILL", "-1").split()
    return [_Kill(*at)] if int(process) == PROCESS else []


def train(case: str, folder: Path, distribute: str | None, **changes) -> dict:
    """Trains a case in `folder / case`, and returns its numbers."""
    if case == "command":
        return _train_by_command(folder, distribute)
    make, settings = CASES[case]
    keras.utils.set_random_seed(0)
    given = folder / f"{case}.keras"  # TensorFlow's processes cannot be given a model
    model = str(given) if given.exists() else make()
    command, options = pretrain, {"from_scratch": False}
    if case in ("lora", "prepared"):
        command, options = finetune, {}
    validation = 0 if case in ("mae", "simdino") else VALIDATION
    if case == "prepared":
        validation = tuple(part[:8] for part in VALIDATION)  # used as they are: not padded
    else:
        options["pipeline"] = os.environ.get("PIPELINE", "pydataset")
    with mock.patch.object(MultiCrop, "call", _crops):
        run = command(
            model,
            Batches() if case == "prepared" else DATA,
            folder / case,
            recipe=Recipe(**{**RECIPE, **settings, **changes}),
            validation=validation,
            distribute=distribute,
            callbacks=_callbacks(),
            verbose=0,
            **options,
        )
    return numbers(run)


def _train_by_command(folder: Path, distribute: str | None) -> dict:
    """As `train`, by the command line, on data that also have test images."""
    model, data, recipe, run = (
        str(folder / name) for name in ("command.keras", "data.npz", "recipe.json", "command")
    )
    words = ["pretrain", model, "--data", data, "--validation", "0.25", "--recipe", recipe]
    words += ["--output", run, "--pipeline", os.environ.get("PIPELINE", "pydataset")]
    assert main(words if distribute is None else [*words, "--distribute", distribute]) == 0
    with Path(run, "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    history = {name: [float(row[name]) for row in rows] for name in rows[0]}
    metrics = json.loads(Path(run, "metrics.json").read_text())
    history["test_accuracy"] = [metrics["test_accuracy"]]
    return numbers(types.SimpleNamespace(history=history, file=Path(run, "model.keras")))


def make_files(cases: list[str], folder: Path) -> None:
    """Writes the initial models, from which `train` then begins."""
    for case in cases:
        make, _ = CASES[case]
        keras.utils.set_random_seed(0)
        with adapters_apart():
            make().save(folder / f"{case}.keras")
    (folder / "recipe.json").write_text(json.dumps(Recipe(**RECIPE).to_dict()))
    test = dict(zip(("x_test", "y_test"), VALIDATION, strict=True))
    np.savez(folder / "data.npz", x_train=DATA[0], y_train=DATA[1], **test)


def read(folder: Path, case: str) -> dict:
    """Returns the numbers that process 0 wrote."""
    return json.loads((folder / f"{case}-0.json").read_text())


def numbers(run) -> dict:
    """The history of a run, without times, and the weights in its file."""
    history = {k: v for k, v in run.history.items() if k != "images_per_second"}
    saved = keras.saving.load_model(run.file, compile=False)
    # Of adapters, the file has what they add to the kernels.
    left_out = ("lora_kernel_a", "lora_kernel_b", "/steps")
    weights = [w.numpy().ravel().tolist() for w in saved.weights if not w.path.endswith(left_out)]
    # By order, since Keras numbers the names of layers.
    return {"history": history, "weights": {str(k): w for k, w in enumerate(weights)}}


def assert_equal(found, expected, what):
    for part in ("history", "weights"):
        assert found[part].keys() == expected[part].keys()
        for name, values in expected[part].items():
            np.testing.assert_allclose(
                found[part][name], values, rtol=2e-4, atol=2e-5, err_msg=f"{what} {name}"
            )


def _only_reads(folder: Path) -> None:
    """Raises an error if this process writes to a run's folder, but to locks of processes."""

    def refuse(event, arguments):
        is_write = event in ("os.rename", "os.remove", "os.rmdir")
        is_write |= event == "open" and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        for path in map(str, arguments) if is_write else ():
            is_inside = path.startswith(f"{folder}{os.sep}") and ".processes" not in path
            assert not is_inside, f"process {PROCESS}: {event} {path}"

    sys.addaudithook(refuse)


if __name__ == "__main__":
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        virtual = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["DEVICES"])
        tf.config.set_logical_device_configuration(cpu, virtual)
    distribute, folder, *cases = sys.argv[1:]
    for case in cases:
        changes = json.loads(os.environ.get("CHANGES", "{}"))
        if PROCESS:  # process 0 writes
            _only_reads(Path(folder, case))
        try:
            found = train(case, Path(folder), distribute, **changes)
        except ConnectionError as error:
            print(error, flush=True)
            os._exit(1)  # JAX would wait for the lost process for 100 s at exit
        Path(folder, f"{case}-{PROCESS}.json").write_text(json.dumps(found))
