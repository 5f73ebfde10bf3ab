import dataclasses
import json
import sys

import keras
import numpy as np
import pytest
from folders import NAMES, coloured
from marks import compiles_long, needs
from PIL import Image

import keras_crate
from keras_crate.training import Recipe, load_recipe, pretrain
from keras_crate.training.model_to_train import open_trained
from keras_crate.weights import variants as registry

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 2}
RECIPE = Recipe(
    epochs=12, warmup_epochs=1, batch_size=8, learning_rate=3e-3, optimizer="lion",
    weight_decay=0.5, beta_2=0.99, label_smoothing=0.1,
)  # fmt: skip
ONCE = RECIPE.with_changes(epochs=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    coloured(root / "train")
    coloured(root / "val", 6)
    return root


@pytest.mark.any_backend
def test_each_family_has_its_recipe():
    from keras_crate.training.pretrain import recipe_for_model

    for model, name in {
        "tiny": "imagenet1k-paper",
        "alpha-large": "imagenet21k-alpha",
        "mae_base": "imagenet1k-mae",
        "CBTSmall": "imagenet1k-cbt",
        "cbt_small_imagenet": "imagenet1k-cbt",
        "crate_tiny_cifar10": "cifar10-paper",  # the variant's own
    }.items():
        assert recipe_for_model(model) == name
    assert recipe_for_model(keras_crate.CBT(8, 1, 2, **SMALL)) == "imagenet1k-cbt"


@compiles_long
def test_it_learns_and_writes(folder, tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL, class_names=NAMES)
    run = pretrain(model, folder, tmp_path / "out", recipe=RECIPE, verbose=0, seed=1)
    assert len(run.history["loss"]) == 12
    assert run.history["loss"][-1] < 0.75 * run.history["loss"][0]
    assert run.metrics["val_accuracy"] == 1
    saved = keras.saving.load_model(run.file)
    assert isinstance(saved.optimizer, keras.optimizers.Lion)
    assert saved.optimizer.weight_decay == 0.5
    assert saved.class_names == NAMES
    assert len((tmp_path / "out/history.csv").read_text().splitlines()) == 13


@pytest.fixture
def small_variant(monkeypatch):
    variant = registry.variant_named("crate_tiny_cifar10")
    small = {"dim": 24, "depth": 1, "heads": 2, **SMALL}
    made = dataclasses.replace(variant, constructor="CRATE", arguments=small)
    monkeypatch.setattr(registry, "variants", lambda: {"crate_tiny_cifar10": made})


def test_a_variant_and_a_folder_without_validation_images(folder, tmp_path, small_variant):
    run = pretrain(
        "crate_tiny_cifar10", folder / "train", tmp_path, recipe=ONCE, verbose=0,
        validation=folder / "val",
    )  # fmt: skip
    assert run.model.settings.dim == 24 and "val_accuracy" in run.metrics


@pytest.mark.any_backend
def test_a_size_takes_the_data_s_classes(tmp_path, monkeypatch):
    from keras_crate import models

    made = {}

    def tiny(**settings):
        made.update(settings)
        return keras_crate.CRATE(16, 1, 2, **settings)

    monkeypatch.setattr(models, "CRATETiny", tiny)
    recipe = load_recipe("digits-small", epochs=1, image_size=8, drop_path_rate=0.1)
    run = pretrain(
        "tiny", "digits", tmp_path, recipe=recipe, patch_size=4, limit=64, verbose=0
    )  # fmt: skip
    assert run.model.output_shape == (None, 10)
    assert made["input_shape"] == (8, 8, 1) and made["patch_size"] == 4
    assert made["drop_path_rate"] == 0.1 and made["class_names"] == tuple("0123456789")


@pytest.mark.any_backend
def test_names_of_sizes():
    from keras_crate.training.new_model import short_name

    for name, short in (
        ("tiny", "tiny"), ("CRATEBase", "base"), ("crate_base", "base"), 
        ("alpha-large", "alpha-large"), ("CRATEAlphaLarge", "alpha-large"),
        ("CRATEMAEBase", "mae-base"), ("mae_base", "mae-base"),
        ("CBTTiny", "cbt-tiny"), ("cbt_tiny", "cbt-tiny"),
    ):  # fmt: skip
        assert short_name(name) == short


@pytest.mark.any_backend
def test_a_new_model_of_any_width(tmp_path):
    recipe = ONCE.with_changes(batch_size=32)
    run = pretrain(
        "crate:24x2x3", "digits", tmp_path, recipe=recipe, patch_size=4, channels=3, limit=32,
        verbose=0,
    )  # fmt: skip
    settings = run.model.settings
    assert (settings.dim, settings.depth, settings.heads) == (24, 2, 3)
    assert tuple(settings.input_shape) == (8, 8, 3)  # the digits' size


@pytest.mark.any_backend
def test_forms_of_new_models():
    from keras_crate.training.new_model import make_model

    digits = keras_crate.data.load("digits")
    for name, family in (
        ("crate-alpha:24x1x2", keras_crate.CRATEAlpha), ("crate-mae:24x1x2", keras_crate.CRATEMAE),
    ):  # fmt: skip
        model = make_model(name, digits, ONCE, patch_size=4)
        assert type(model) is family and tuple(model.settings.input_shape) == (8, 8, 1)
    for name in ("crate:24x1", "crate:24x1x2x2", "vit:24x1x2", "crate:axbxc", "crate:"):
        message = (
            rf"must be FAMILY:WIDTHxDEPTHxHEADS, such as .* Received: {name}\nFamilies: crate,"
        )
        with pytest.raises(ValueError, match=message):
            make_model(name, digits, ONCE)
    with pytest.raises(ValueError, match="heads"):
        make_model("crate:25x1x2", digits, ONCE, patch_size=4)
    with pytest.raises(ValueError, match=r"no size or variant 'bsae'. .*\nSizes: .*crate:128x4x4"):
        make_model("bsae", digits, ONCE)


@pytest.mark.any_backend
def test_the_weights_that_a_run_begins_with(folder, tmp_path, small_variant, monkeypatch, capsys):
    """A learning rate of nearly 0 keeps them."""
    recipe = ONCE.with_changes(learning_rate=1e-12, optimizer="sgd", weight_decay=0.0)
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    file = str(tmp_path / "model.keras")
    model.save(file)
    module = sys.modules["keras_crate.training.pretrain"]
    monkeypatch.setattr(
        module,
        "open_trained",
        lambda m, on: model if m == "crate_tiny_cifar10" else open_trained(m, on),
    )
    foreign = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    )
    for k, (start, from_scratch, initial) in enumerate((
        (file, None, False), (file, False, False), (file, True, True),
        (model, None, False), (model, True, True), (foreign, True, True),
        ("crate_tiny_cifar10", None, True), ("crate_tiny_cifar10", False, False),
    )):  # fmt: skip
        run = pretrain(
            start, folder, tmp_path / str(k), recipe=recipe, from_scratch=from_scratch, verbose=2,
            seed=1,
        )  # fmt: skip
        before = foreign if start is foreign else model
        kernel, old = (max(m.get_weights(), key=np.size) for m in (run.model, before))
        assert (np.abs(kernel - old).max() > 1e-3) == initial
        first = capsys.readouterr().out.splitlines()[0]
        assert ("from initial weights: " if initial else "with its weights: ") in first
        assert json.loads((run.folder / "run.json").read_text())["weights"] == (
            "initial" if initial else "given"
        )
    with pytest.raises(ValueError, match=r"no weights to continue from. Received: tiny"):
        pretrain("tiny", folder, tmp_path / "no", recipe=recipe, from_scratch=False)


@compiles_long
def test_a_masked_autoencoder(tmp_path):
    model = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 1), patch_size=4)
    recipe = load_recipe("imagenet1k-mae", epochs=3, image_size=16, batch_size=64)
    run = pretrain(model, "digits", tmp_path, recipe=recipe, limit=128, verbose=0)
    assert len(run.history["loss"]) == 3 and run.best is None
    assert keras.saving.load_model(run.file).settings.mask_ratio == 0.75


@compiles_long
def test_hugging_face_data(tmp_path):
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
    )
    columns = {
        "image": [rng.integers(0, 256, (16, 16, 3), dtype="uint8") for _ in range(8)],
        "label": [0, 1] * 4,
    }
    data = datasets.Dataset.from_dict(columns, features=features)
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    run = pretrain(model, data, tmp_path, recipe=ONCE, verbose=0)
    assert run.history["loss"]
    with pytest.raises(ValueError, match="must be pydataset for data sets of Hugging Face"):
        pretrain(model, data, tmp_path / "other", recipe=ONCE, pipeline="tf.data", verbose=0)


@needs("tensorflow", "tensorflow_datasets")
@pytest.mark.parametrize(
    "name",
    [
        "imagenet2012",
        "oxford_iiit_pet",
        pytest.param("oxford_flowers102", marks=pytest.mark.slow),  # tests/data has its splits
    ],
)
def test_each_paper_s_data_by_its_recipe(name, tmp_path):
    """Of TensorFlow alone; images are TensorFlow Datasets' mocks."""
    import tensorflow_datasets as tfds

    classes = {"imagenet2012": 1000, "oxford_flowers102": 102}
    recipe = "imagenet1k-paper" if name == "imagenet2012" else f"{name}-paper"
    recipe = load_recipe(recipe, epochs=1, batch_size=4, image_size=16)
    model = keras_crate.CRATE(
        16, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=classes.get(name, 37)
    )
    with tfds.testing.mock_data(num_examples=8):
        run = pretrain(model, None, tmp_path, recipe=recipe, verbose=0)
    assert run.history["loss"] and "val_accuracy" in run.metrics
    assert ("test_accuracy" in run.metrics) == (name != "imagenet2012")


@pytest.mark.parametrize(
    "pipeline", ["pydataset", pytest.param("tf.data", marks=needs("tensorflow"))]
)
def test_a_broken_image_is_named(tmp_path, pipeline):
    coloured(tmp_path / "images", 4)
    (tmp_path / "images/reddish/1.jpg").write_bytes(b"none")
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    options = {"recipe": ONCE, "verbose": 0, "pipeline": pipeline}
    with pytest.raises(ValueError, match=r"reddish/1.jpg cannot be read .*Remove or replace it"):
        pretrain(model, tmp_path / "images", tmp_path / "out", **options)


@compiles_long
def test_tiff_images_go_to_pillow(tmp_path):
    coloured(tmp_path / "images", 4)
    for file in (tmp_path / "images").rglob("1.jpg"):
        Image.open(file).save(file.with_suffix(".tif"))
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    run = pretrain(model, tmp_path / "images", tmp_path / "out", recipe=ONCE, verbose=0)
    assert json.loads((run.folder / "run.json").read_text())["pipeline"] == "pydataset"
    with pytest.raises(ValueError, match=r"must be pydataset for TIFF images, such as .*1.tif"):
        pretrain(
            model, tmp_path / "images", tmp_path / "no", recipe=ONCE, verbose=0, pipeline="tf.data"
        )


def test_losses(folder, tmp_path):
    recipe = ONCE.with_changes(loss="binary_crossentropy")
    images = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    foreign = keras.Model(images, keras.layers.Dense(2, "softmax")(x))
    with pytest.raises(ValueError, match="binary_crossentropy needs a model of logits"):
        pretrain(foreign, folder, tmp_path / "out", recipe=recipe)
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    run = pretrain(model, folder, tmp_path / "out", recipe=recipe, verbose=0)  # nothing was begun
    assert run.model.settings.classifier_activation is None  # logits, made of the softmax model
    assert 0.2 < run.history["loss"][0] < 5


@pytest.mark.parametrize(
    "pipeline",
    [
        pytest.param("pydataset", marks=pytest.mark.any_backend),
        pytest.param("tf.data", marks=needs("tensorflow")),
    ],
)
def test_four_channels(tmp_path, pipeline):
    """Images with transparency for models without, and the other way round, as for `evaluate`."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 4), dtype="uint8")
    labels = np.arange(8) % 2
    for channels, images in ((4, pixels), (3, pixels), (1, pixels), (4, pixels[..., :3])):
        shape = (16, 16, channels)
        model = keras_crate.CRATE(16, 1, 2, input_shape=shape, patch_size=8, classes=2)
        run = pretrain(
            model, (images, labels), tmp_path / f"{channels} {images.shape[-1]}", recipe=ONCE,
            verbose=0, pipeline=pipeline, validation=(images, labels),
        )  # fmt: skip
        assert "val_accuracy" in run.metrics


def test_what_is_refused(folder, tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    out = tmp_path / "out"
    transparent = keras_crate.CRATE(24, 1, 2, input_shape=(16, 16, 4), patch_size=8, classes=2)
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    for arguments, options, message in (
        (("enormous", folder), {}, r"no size or variant 'enormous'\nSizes: tiny, small"),
        ((3, folder), {}, "must be a Keras model, a .keras file or a name. Received: a int"),
        (("crate_base_8_imagenet21k", folder), {}, "are not classes"),
        ((model, tmp_path / "none"), {}, "no data set and no folder"),
        ((model, folder), {"pipeline": "grain"}, "`pipeline` must be one of 'auto'"),
        ((model, folder), {"patch_size": 4}, "`patch_size` is for a new model"),
        ((model, None), {"recipe": ONCE}, "`data` must name what to train on"),
        ((model, "digits"), {}, r"`classes` must be the number of classes of the data, 10"),
        ((model, folder), {"recipe": "none"}, "There is no recipe 'none'"),
        ((model, folder), {"seed": -1}, r"`seed` must be in \[0, 2"),
        ((model, folder), {"workers": 0}, "`workers` must be a positive integer"),
        (
            (transparent, folder),
            {"recipe": ONCE.with_changes(rand_augment=(2, 9))},
            "`rand_augment` is for grey and RGB images",
        ),
        ((mae, folder), {"recipe": ONCE.with_changes(mixup=0.2)}, "for models that learn labels"),
    ):
        with pytest.raises(ValueError, match=message):
            pretrain(*arguments, out, **{"recipe": ONCE, **options})
    fused = keras_crate.fuse(model)
    with pytest.raises(ValueError, match="must not be fused"):
        pretrain(fused, folder, out, recipe=ONCE)
    first = keras_crate.CRATE(
        24, 1, 2, input_shape=(3, 16, 16), patch_size=8, classes=2, data_format="channels_first"
    )
    with pytest.raises(ValueError, match="must take channels last"):
        pretrain(first, folder, out, recipe=ONCE)
    assert not out.exists()
