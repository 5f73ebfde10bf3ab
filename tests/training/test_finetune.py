import dataclasses
import sys

import keras
import numpy as np
import pytest
from folders import NAMES, coloured
from marks import compiles_long

import keras_crate
from keras_crate.layers import TokenEmbedding
from keras_crate.training import finetune, load_recipe
from keras_crate.training.model_to_train import adapt_model, in_order_of

RECIPE = load_recipe("finetune-paper", epochs=1, batch_size=4, image_size=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return coloured(tmp_path_factory.mktemp("images") / "pets", 4)


@pytest.fixture
def model():
    return keras_crate.CRATE(24, 2, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)


def _data(folder):
    from keras_crate.data import open_data

    return open_data(folder)


@pytest.mark.any_backend
def test_the_size_is_that_of_the_images_before_the_users_layers():
    images = keras.layers.Conv2D(3, 2, strides=2)(keras.Input((32, 32, 1)))
    model = keras_crate.CRATE(24, 1, 2, input_tensor=images, patch_size=8)
    recipe = dataclasses.replace(RECIPE, image_size=32)
    assert adapt_model(model, recipe, None).input_shape == (None, 32, 32, 1)
    with pytest.raises(ValueError, match="image shape cannot change"):
        adapt_model(model, RECIPE, None)


def test_a_new_head_and_the_rest_as_it_was(model, folder):
    new = adapt_model(model, RECIPE, _data(folder))
    assert new is not model and new.output_shape == (None, 2) and new.class_names == NAMES
    for layer in model.layers:
        if layer.name == "head":
            continue
        for a, b in zip(layer.get_weights(), new.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_head_for_the_same_classes_stays(folder):
    model = keras_crate.CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, class_names=NAMES
    )
    new = adapt_model(model, RECIPE, _data(folder))
    for a, b in zip(model.get_weights(), new.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = keras_crate.CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, class_names=("hot", "cold")
    )
    new = adapt_model(other, RECIPE, _data(folder))
    assert (
        np.abs(
            new.get_layer("head").get_weights()[0] - other.get_layer("head").get_weights()[0]
        ).max()
        > 0
    )


@pytest.mark.any_backend
def test_a_folder_s_classes_are_taken_in_the_model_s_order(folder, tmp_path):
    model = keras_crate.CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=2, class_names=NAMES[::-1]
    )
    recipe = RECIPE.with_changes(learning_rate=1e-9, weight_decay=0.0)
    run = finetune(model, folder, tmp_path, recipe=recipe, verbose=0)
    assert run.model.class_names == NAMES[::-1]
    for a, b in zip(
        model.get_layer("head").get_weights(),
        run.model.get_layer("head").get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_labels_follow_the_model_s_order(folder):
    data = _data(folder)
    data = dataclasses.replace(data, validation=data.train.sample(3), test=data.train.sample(2))
    data = in_order_of(data, NAMES[::-1])
    assert data.class_names == NAMES[::-1]
    for source in (data.train, data.validation, data.test):
        for file, label in zip(source.files, source.labels, strict=True):
            assert file.parent.name == data.class_names[label]
    for others in (("hot", "cold"), (*NAMES, "green"), None):
        assert in_order_of(_data(folder), others).class_names == NAMES


@pytest.mark.parametrize("names", [("3", "8"), (*NAMES, "greenish")])
def test_the_names_of_the_data_win(folder, tmp_path, names, monkeypatch):
    """Digits' names do not stay for other things, and the data are opened once."""
    model = keras_crate.CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=len(names), class_names=names
    )
    head = model.get_layer("head")
    head.set_weights([np.ones_like(weight) for weight in head.get_weights()])
    module = sys.modules["keras_crate.training.finetune"]
    opened, open_data = [], module.open_data
    monkeypatch.setattr(module, "open_data", lambda *a, **k: opened.append(a) or open_data(*a, **k))
    recipe = RECIPE.with_changes(learning_rate=1e-9, weight_decay=0.0)
    run = finetune(model, folder, tmp_path, recipe=recipe, verbose=0)
    assert run.model.class_names == NAMES and len(opened) == 1
    kernel = run.model.get_layer("head").get_weights()[0]
    assert kernel.shape == (24, 2) and np.abs(kernel).max() < 0.9  # drawn anew


def test_size_rates_and_dtype_of_the_recipe(model, folder):
    recipe = RECIPE.with_changes(
        image_size=32, drop_path_rate=0.2, dropout_rate=0.1, precision="mixed_bfloat16"
    )
    new = adapt_model(model, recipe, _data(folder))
    assert new.input_shape == (None, 32, 32, 3)
    assert new.settings.drop_path_rate == 0.2 and new.settings.dropout_rate == 0.1
    assert new.dtype_policy.name == "mixed_bfloat16"
    positions = next(x for x in new.layers if isinstance(x, TokenEmbedding)).positions
    assert positions.shape == (1, 17, 24)
    same = model.with_input_shape((32, 32, 3))
    table = next(x for x in same.layers if isinstance(x, TokenEmbedding)).positions
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(x) for x in (positions, table)), atol=1e-6
    )


def test_features_are_given_a_head(folder):
    features = keras_crate.CRATE(
        24, 1, 2, input_shape=(16, 16, 3), patch_size=8, include_top=False, pooling=None
    )
    assert adapt_model(features, RECIPE, _data(folder)).output_shape == (None, 2)


def test_from_a_file(model, folder, tmp_path):
    model.save(tmp_path / "model.keras")
    run = finetune(tmp_path / "model.keras", folder, tmp_path / "run", recipe=RECIPE, verbose=0)
    assert run.model.output_shape == (None, 2)
    moved = run.model.get_layer("block_0_ista").get_weights()[0]
    assert 0 < np.abs(moved - model.get_layer("block_0_ista").get_weights()[0]).max() < 1e-2


def test_the_head_alone(model, folder, tmp_path):
    recipe = load_recipe("linear-probe", epochs=2, batch_size=4, image_size=16)
    run = finetune(model, folder, tmp_path, recipe=recipe, verbose=0)
    for layer in model.layers:
        if layer.name not in ("head_norm", "head"):
            for a, b in zip(
                layer.get_weights(), run.model.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(a, b)


@compiles_long
def test_a_masked_autoencoder_s_encoder(folder, tmp_path):
    mae = keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8)
    run = finetune(mae, folder, tmp_path, recipe=RECIPE, verbose=0)
    assert run.model.output_shape == (None, 2)


@compiles_long
def test_another_keras_model(folder, tmp_path):
    images = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Dense(2, "softmax")(x))
    run = finetune(model, folder, tmp_path / "run", recipe=RECIPE, verbose=0)
    assert run.model is model
    wrong = keras.Model(images, keras.layers.Dense(3, "softmax")(x))
    with pytest.raises(ValueError, match=r"outputs of shape \(None, 2\)"):
        finetune(wrong, folder, tmp_path / "wrong", recipe=RECIPE)
    with pytest.raises(ValueError, match=r"`drop_path_rate` can be set for models of keras_crate"):
        finetune(model, folder, tmp_path / "wrong", recipe=RECIPE.with_changes(drop_path_rate=0.1))


@pytest.mark.any_backend
def test_the_recipe_for_data(tmp_path, model):
    from keras_crate.training.finetune import recipe_for_data

    assert recipe_for_data("cifar10") == "cifar10-paper"
    assert recipe_for_data(tmp_path) == recipe_for_data(None) == "finetune-paper"
    assert load_recipe("finetune-paper").image_size is None  # a small model stays small
    assert load_recipe("cifar10-paper").image_size == 224
    with pytest.raises(ValueError, match=r"`Recipe\(...\)`. Received: a dict"):
        finetune(model, "digits", tmp_path, recipe={"epochs": 1})
    with pytest.raises(ValueError, match="`data` must name what to train on"):
        finetune(model)
    with pytest.raises(ValueError, match=r"Received: a int"):
        finetune(3, "digits", tmp_path)
    with pytest.raises(ValueError, match=r"no model file none.keras, and no variant"):
        finetune("none.keras", "digits", tmp_path)
