import json

import keras
import numpy as np
import pytest
import small_run
from marks import needs

import keras_crate
from keras_crate.distributed.devices import Devices
from keras_crate.training import RunOptions, load_recipe
from keras_crate.training.finetune import finetune
from keras_crate.training.prepared_batches import (
    PreparedInput,
    are_prepared,
    kind_of,
    open_prepared,
)

RECIPE = load_recipe("finetune-paper", epochs=2, learning_rate=1e-3)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (22, 16, 24, 3)).astype("float32")
LABELS = np.arange(22) % 3


class Batches(keras.utils.PyDataset):
    """Batches of 8 images; `class_names` as `keras.utils.image_dataset_from_directory` has them."""

    def __init__(self, images=IMAGES, labels=LABELS, names=("a", "b", "c"), number=3):
        super().__init__()
        self.images, self.labels, self.class_names, self.number = images, labels, names, number

    def __len__(self):
        return self.number

    def __getitem__(self, k):
        part = slice(8 * k, 8 * k + 8)
        return self.images[part], self.labels[part]


def _loader(**options):
    torch = pytest.importorskip("torch")
    pairs = torch.utils.data.TensorDataset(torch.tensor(IMAGES), torch.tensor(LABELS))
    pairs.classes = ["a", "b", "c"]  # as torchvision's ImageFolder has them
    return torch.utils.data.DataLoader(pairs, 8, shuffle=True, **options)


def _tf_data(**options):
    import tensorflow as tf

    one_hot = np.eye(3, dtype="float32")[LABELS]
    return tf.data.Dataset.from_tensor_slices((IMAGES, one_hot)).shuffle(22).batch(8, **options)


@pytest.fixture
def model():
    return keras_crate.CRATE(16, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)


@pytest.mark.parametrize(
    "make, kind",
    [
        (Batches, "PyDataset"),
        pytest.param(_loader, "DataLoader", marks=needs("torch")),
        pytest.param(_tf_data, "tf.data.Dataset", marks=needs("tensorflow")),
    ],
)
def test_each_kind(make, kind, model, tmp_path, capsys):
    data = make()
    assert kind_of(data) == kind and are_prepared((data, data))
    run = finetune(model, (data, data), tmp_path, recipe=RECIPE)
    assert run.model.output_shape == (None, 3) and run.model.input_shape == (None, 16, 24, 3)
    assert run.model.class_names == (None if kind == "tf.data.Dataset" else ("a", "b", "c"))
    assert len(run.history["loss"]) == 2 and 0 <= run.metrics["val_accuracy"] <= 1
    said, first, *_ = capsys.readouterr().out.splitlines()
    assert said == "The batches are used as they are, without crop_area, flip, rand_augment."
    assert f"3 training batches of 8 images of 3 classes, with validation: {kind}" in first
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert recipe["crop_area"] is None and not recipe["flip"] and recipe["batch_size"] == 8
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["batches"] == 3 and record["pipeline"] == kind
    found = keras.saving.load_model(run.best).evaluate(data, verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx(run.metrics["best_val_accuracy"])


def test_a_run_is_resumed(model, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    stop = small_run.AtStep(1, 0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        finetune(model, Batches(), tmp_path, recipe=RECIPE, verbose=0, callbacks=[stop])
    run = finetune(model, Batches(), tmp_path, recipe=RECIPE, verbose=0)
    assert run.metrics["resumed_after"] == 1 and run.metrics["epochs"] == 2


@pytest.mark.any_backend
def test_integers_without_names_are_of_the_model_s_classes(model, tmp_path):
    run = finetune(
        model, Batches(names=None), tmp_path / "a", recipe=RECIPE, verbose=0,
        validation=(IMAGES, LABELS),
    )  # fmt: skip
    assert run.model.output_shape == (None, 5) and "val_accuracy" in run.metrics
    names = ["x", "y", "z"]
    run = finetune(
        model, Batches(names=None), tmp_path / "b", recipe=RECIPE, verbose=0, class_names=names
    )
    assert run.model.class_names == tuple(names)


@pytest.mark.any_backend
def test_arrays_are_given_names(model, tmp_path):
    recipe = load_recipe("finetune-paper", epochs=1, batch_size=8, image_size=16)
    run = finetune(
        model, (IMAGES, LABELS), tmp_path, recipe=recipe, verbose=0, class_names=("x", "y", "z")
    )
    assert run.model.class_names == ("x", "y", "z")


def test_what_is_refused(model, tmp_path):
    headless = keras_crate.CRATE(16, 1, 2, input_shape=(16, 16, 3), patch_size=8, include_top=False)
    for data, options, message in (
        (Batches(number=0), {}, "must have one batch or more"),
        (Batches(number=None), {}, "must have one batch or more"),
        (Batches(np.moveaxis(IMAGES, -1, 1)), {}, r"channels last. Received: \(8, 3, 16, 24\)"),
        (Batches(IMAGES / 255), {}, "neither rescaled nor normalised.* pixels from 0 to 1"),
        (Batches(names=None, labels=LABELS + 3), {}, "Labels must be from 0 to 4. Received"),
        (Batches(labels=np.eye(4)[LABELS]), {}, "must be 4 class names, .* Received: 3"),
        ((Batches(), IMAGES, LABELS), {}, "must be prepared batches, or a pair"),
        ((Batches(), Batches()), {"validation": Batches()}, "without `validation`"),
        ((IMAGES, Batches()), {}, "Received: ndarray, Batches"),
        (Batches(), {"limit": 3}, "`limit` is for images that the run reads"),
        (Batches(), {"augment": np.flip}, "`augment` is for images that the run reads"),
        (Batches(), {"pipeline": "tf.data"}, "`pipeline` is for images that the run reads"),
    ):
        with pytest.raises(ValueError, match=message):
            finetune(model, data, tmp_path / "out", recipe=RECIPE, **options)
    with pytest.raises(ValueError, match="`class_names` must be given"):
        finetune(headless, Batches(names=None), tmp_path / "out", recipe=RECIPE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "make, received",
    [
        (Batches, "batches of 8 and 6 images of PyDataset"),
        (lambda: (IMAGES, LABELS), "batches of 22 images of arrays"),
        pytest.param(_loader, "batches of DataLoader", marks=needs("torch")),
        pytest.param(_tf_data, "batches of tf.data.Dataset", marks=needs("tensorflow")),
    ],
)
def test_batches_that_replicas_do_not_divide_are_refused_before_the_run(
    make, received, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(Devices, "replicas", 4)
    data = make()
    given = {"validation": (Batches(number=2), data)}
    if kind_of(data):  # arrays are for validation here
        given["training"] = (data, None)
    for what, (train, validation) in given.items():
        with pytest.raises(ValueError, match=f"Each {what} batch [^$]* 4 replicas.*\n.*{received}"):
            finetune(model, train, tmp_path, recipe=RECIPE, validation=validation)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Batches(number=2),
        lambda: (IMAGES[:20], LABELS[:20]),
        pytest.param(lambda: _loader(drop_last=True), marks=needs("torch")),
        pytest.param(lambda: _tf_data(drop_remainder=True), marks=needs("tensorflow")),
    ],
)
def test_batches_that_replicas_divide(make, model):
    data = open_prepared(Batches(number=2), make(), None, model)
    PreparedInput(data, RECIPE, RunOptions(), parts=4)
