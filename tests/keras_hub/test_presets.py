"""Published models as presets of KerasHub."""

import contextlib
import json
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from hub_client import HubClient

pytest.importorskip("keras_hub.models")
import keras_hub

import keras_crate
import keras_crate.keras_hub as ours
from keras_crate import models

SETTINGS = {"dim": 16, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}
MODELS = {
    "CRATE": models.CRATE,
    "CRATEAlpha": models.CRATEAlpha,
    "CRATEMAE": models.CRATEMAEEncoder,
    "CBT": models.CBT,
}


def images(side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype("float32")


def published(model, folder):
    keras_crate.hub.push(model, "hf://user/name", dry_run=folder, force=True)
    return str(folder)


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A published classifier, and its predictions."""
    keras.utils.set_random_seed(1)
    model = models.CRATE(**SETTINGS, classes=3, class_names=["cat", "dog", "?"])
    folder = published(model, tmp_path_factory.mktemp("published") / "crate")
    return folder, model.predict(images(), verbose=0)


LOADERS = {
    "plain Keras": 'model = keras.saving.load_model("hf://writer/shared")',
    "pull": 'model = keras_crate.hub.pull("hf://writer/shared")',
    "KerasHub": """
import keras_hub
import keras_crate.keras_hub
model = keras_hub.models.ImageClassifier.from_preset("hf://writer/shared")
backbone = keras_hub.models.Backbone.from_preset("hf://writer/shared")
assert backbone(images).shape == (4, 5, 24)
""",
}


@pytest.mark.any_backend
def test_one_repository_is_read_in_three_ways(server, client, tmp_path):
    expected = client("""
model = trained()
keras_crate.hub.push(model, "hf://writer/shared")
result = model.predict(images, verbose=0)
""")
    with contextlib.ExitStack() as stack:
        readers = {
            name: stack.enter_context(HubClient(server, tmp_path / name)) for name in LOADERS
        }
        for name, reader in readers.items():  # at once, since each imports Keras
            reader.tell(MODELS_AND_LOADER.format(loader=LOADERS[name]))
        for name, reader in readers.items():
            assert np.array_equal(reader.answer(), expected), name


MODELS_AND_LOADER = """
images = np.random.default_rng(1).uniform(0, 255, (4, 16, 16, 3)).astype("float32")
{loader}
result = model.predict(images, verbose=0)
"""


@pytest.mark.parametrize("name", MODELS)
def test_each_family(name, tmp_path):
    model = MODELS[name](**SETTINGS, classes=3, pooling="avg", classifier_activation=None)
    folder = published(keras_crate.fuse(model), tmp_path / "preset")
    expected = model.predict(images(), verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = keras_hub.models.ImageClassifier.from_preset(folder)
    assert type(task) is getattr(ours, f"{name}ImageClassifier")
    assert np.allclose(task.predict(images(), verbose=0), expected, atol=1e-5)
    backbone = keras_hub.models.Backbone.from_preset(folder)
    assert type(backbone) is getattr(ours, f"{name}Backbone")
    assert backbone(images()).shape == (2, 5, 16)


@pytest.mark.any_backend
def test_the_code_of_the_card(preset):
    folder, expected = preset
    card = Path(folder, "README.md").read_text("utf8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "preset" in c)
    names = {}
    exec(code.replace("hf://user/name", folder), names)
    assert np.array_equal(names["model"].predict(images(), verbose=0), expected)


@pytest.mark.any_backend
def test_pull_reads_the_classifier_beside_kerashub(preset):
    folder, expected = preset
    model = keras_crate.hub.pull(folder)
    assert type(model) is models.CRATE
    assert np.array_equal(model.predict(images(), verbose=0), expected)


def test_a_new_head_size_and_dtype(preset):
    with pytest.warns(UserWarning, match="resized to"):
        task = keras_hub.models.ImageClassifier.from_preset(
            preset[0], num_classes=5, image_shape=(24, 24, 3), dtype="bfloat16"
        )
    assert task.backbone.image_shape == (24, 24, 3)
    assert task.backbone.get_layer("block_0_mssa").compute_dtype == "bfloat16"
    # Images of any size are resized to the new one.
    assert task.predict(images(40), verbose=0).shape == (2, 5)
    published_weights = keras_hub.models.Backbone.from_preset(preset[0], trainable=False)
    assert published_weights.trainable_weights == []
    for new, old in zip(task.backbone.weights, published_weights.weights, strict=True):
        if "positions" not in new.path:
            array = keras.ops.convert_to_numpy(keras.ops.cast(new, "float32"))
            assert np.allclose(array, old, atol=1e-2), new.path


@pytest.mark.any_backend
def test_images_of_any_size(preset):
    shape = {"image_shape": (None, None, 3)}
    backbone = keras_hub.models.Backbone.from_preset(preset[0], **shape)
    task = keras_hub.models.ImageClassifier.from_preset(preset[0], **shape)
    model = keras_crate.hub.pull(preset[0]).with_input_shape((24, 16, 3))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 24, 16, 3)).astype("float32")
    assert backbone(pixels).shape == (2, 7, 16)
    expected = model.predict(pixels, verbose=0)
    task.preprocessor = None
    assert np.allclose(task.predict(pixels, verbose=0), expected, atol=1e-4)


@pytest.mark.any_backend
def test_a_task_refuses_what_models_refuse(preset):
    task = keras_hub.models.ImageClassifier.from_preset(preset[0])
    with pytest.raises(ValueError, match="text"):
        task.quantize("gptq")
    task.backbone.enable_lora(2)
    with pytest.raises(ValueError, match="cannot be quantised to float8"):
        task.quantize("float8")


@pytest.mark.any_backend
def test_the_converter_resizes_as_the_model_was_measured(tmp_path):
    model = models.CRATE(**SETTINGS, classes=3)
    evaluation = keras_crate.evaluation.Evaluation(size=(16, 16), resize=(16, 16))
    evaluation.keep_in(model)
    folder = published(model, tmp_path / "whole")
    assert keras_hub.layers.ImageConverter.from_preset(folder).crop_to_aspect_ratio is False
    converter = keras_hub.models.ImageClassifierPreprocessor.from_preset(folder).image_converter
    assert converter.image_size == (16, 16) and converter.crop_to_aspect_ratio is False


def test_a_saved_task_is_read_by_plain_keras(preset, tmp_path):
    task = keras_hub.models.ImageClassifier.from_preset(preset[0], num_classes=4)
    expected = task.predict(images(), verbose=0)
    folder = str(tmp_path / "saved")
    task.save_to_preset(folder)
    for again in (
        keras_crate.hub.pull(folder),
        keras_hub.models.ImageClassifier.from_preset(folder),
    ):
        assert np.allclose(again.predict(images(), verbose=0), expected, atol=1e-6)
    keras_crate.hub.push(task, "hf://user/name", dry_run=tmp_path / "pushed", force=True)
    config = json.loads((tmp_path / "pushed" / "config.json").read_text())
    assert json.loads(Path(folder, "config.json").read_text())["config"]["grid"] == [2, 2]
    assert config["class_name"] == "CRATE" and config["config"]["classes"] == 4


def test_a_task_has_the_names_and_features_of_its_model(preset, tmp_path):
    task = keras_hub.models.ImageClassifier.from_preset(preset[0])
    assert task.class_names == ("cat", "dog", "?")
    assert keras_crate.decode_predictions(task.predict(images(), verbose=0), task, top=1)
    model = keras_crate.hub.pull(preset[0])
    labelled = [(images(), np.eye(3)[:2])]
    ours, theirs = (keras_crate.evaluation.features_of(m, labelled)[0] for m in (model, task))
    assert ours.shape == (2, 16) and np.array_equal(ours, theirs)
    new = keras_hub.models.ImageClassifier.from_preset(preset[0], num_classes=5)
    assert new.class_names is None and new.without_hub().class_names is None


def test_a_backbone_has_no_head(preset, tmp_path):
    backbone = keras_hub.models.Backbone.from_preset(preset[0])
    with pytest.raises(ValueError, match="Make an image classifier with the backbone"):
        backbone.reset_classifier(3)
    with pytest.raises(ValueError, match="Received: include_top=None, pooling='avg'"):
        ours.CRATEBackbone(**SETTINGS, pooling="avg")
    folder = published(backbone, tmp_path / "backbone")
    assert type(keras_hub.models.Backbone.from_preset(folder)) is ours.CRATEBackbone
    with pytest.raises(ValueError, match="`num_classes` must be given"):
        keras_hub.models.ImageClassifier.from_preset(folder)
    assert keras_hub.models.ImageClassifier.from_preset(folder, num_classes=2).num_classes == 2


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "bfloat16"])
def test_the_card_names_the_dtype(dtype, tmp_path):
    model = models.CRATE(**SETTINGS, classes=3, dtype=dtype)
    folder = published(model, tmp_path / "preset")
    card = Path(folder, "README.md").read_text("utf8")
    (call,) = re.findall(r"^model = (keras_hub.*)$", card, re.MULTILINE)
    task = eval(call.replace("hf://user/name", folder))
    expected = model.predict(images(), verbose=0)
    assert np.array_equal(task.predict(images(), verbose=0), expected)


def test_channels_first(tmp_path):
    shape = {"input_shape": (3, 16, 16), "data_format": "channels_first"}
    model = models.CRATE(**{**SETTINGS, **shape}, classes=3)
    pixels = images().transpose(0, 3, 1, 2)
    task = keras_hub.models.ImageClassifier.from_preset(published(model, tmp_path / "preset"))
    task.save_to_preset(str(tmp_path / "saved"))
    again = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "saved"))
    expected = model.predict(pixels, verbose=0)
    assert np.allclose(again.predict(pixels, verbose=0), expected, atol=1e-6)


def test_lora(preset, tmp_path):
    backbone = keras_hub.models.Backbone.from_preset(preset[0])
    names = backbone.default_lora_layer_names()
    assert names == ["dictionary", "output_projection", "subspaces"]
    backbone.enable_lora(2)
    assert len(backbone.trainable_weights) == 2 * len(names) + 1  # and the output's bias
    before = keras.ops.convert_to_numpy(backbone(images()))
    for layer in backbone._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            layer.lora_kernel_b.assign(layer.lora_kernel_b + 0.1)
    adapted = keras.ops.convert_to_numpy(backbone(images()))
    assert np.abs(adapted - before).max() > 1e-3
    backbone.save_lora_weights(str(tmp_path / "a.lora.h5"))
    again = keras_hub.models.Backbone.from_preset(preset[0])
    again.load_lora_weights(str(tmp_path / "a.lora.h5"))
    assert np.allclose(keras.ops.convert_to_numpy(again(images())), adapted, atol=1e-6)


def test_a_quantised_task(preset, tmp_path):
    task = keras_hub.models.ImageClassifier.from_preset(preset[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task.quantize("int8")
    expected = task.predict(images(), verbose=0)
    assert not np.array_equal(expected, preset[1])
    task.save_to_preset(str(tmp_path / "int8"))
    again = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "int8"))
    assert again.backbone.get_layer("block_0_mssa").subspaces.quantization_mode == "int8"
    assert np.allclose(again.predict(images(), verbose=0), expected, atol=1e-6)


@pytest.mark.any_backend
def test_the_package_takes_backbones(preset):
    backbone = keras_hub.models.Backbone.from_preset(preset[0])
    assert keras_crate.interpret.attention_maps(backbone, images()).shape == (2, 2, 2, 2)
    assert len(keras_crate.objective.measure(backbone, images()).sparsity_mean) == 1
    fused = keras_crate.fuse(backbone)
    expected = backbone.predict(images(), verbose=0)
    assert np.allclose(fused.predict(images(), verbose=0), expected, atol=1e-4)
