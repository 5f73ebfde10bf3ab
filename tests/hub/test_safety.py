"""What of a downloaded model is refused before anything of it is made."""

import json
import zipfile

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub.safety import check_keras_folder

pytestmark = pytest.mark.any_backend

SMALL = {"dim": 24, "depth": 1, "heads": 2, "input_shape": (16, 16, 3), "patch_size": 8}


def _unpacked(model, folder):
    model.save(folder / "a.keras")
    with zipfile.ZipFile(folder / "a.keras") as archive:
        archive.extractall(folder)
    return folder


def _compiled():
    model = keras_crate.CRATE(**SMALL, classes=3)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 100)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.1, use_ema=True),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(2)],
    )
    model.fit(np.zeros((2, 16, 16, 3)), np.eye(3)[:2], verbose=0)
    return model


def _quantised():
    model = keras_crate.CRATE(**SMALL)
    model.quantize("int8")
    return model


def _wrapped():
    """A model of a user's, with one of ours inside."""
    features = keras_crate.CRATE(**SMALL, include_top=False)
    head = keras.layers.Dense(3, "sigmoid", kernel_regularizer="l2", kernel_initializer="he_normal")
    return keras.Sequential([keras.Input((16, 16, 3)), features, keras.layers.Dropout(0.1), head])


@keras.saving.register_keras_serializable("tests_of_safety")
class Own(keras_crate.layers.CompositeLayer):
    def call(self, inputs):
        return inputs * 2.0


@pytest.mark.parametrize(
    "make",
    [
        _compiled,
        _quantised,
        _wrapped,
        lambda: keras_crate.CRATEAlpha(**SMALL, layer_scale=0.1, drop_path_rate=0.1),
        lambda: keras_crate.CRATEMAE(**SMALL),
        lambda: keras_crate.CRATEMAEEncoder(**SMALL),
        lambda: keras_crate.CRATE(**SMALL, sparsify=keras_crate.layers.ISTA(penalty=0.3)),
        lambda: keras_crate.CRATE(**SMALL, sparsify=Own, classifier_activation="sigmoid"),
        lambda: keras_crate.CRATE(**SMALL, dtype="mixed_bfloat16"),
        lambda: keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(
                    2,
                    kernel_initializer=keras.initializers.GlorotUniform(
                        seed=keras.random.SeedGenerator(3)
                    ),
                ),
            ]
        ),
    ],
)
def test_models_that_are_what_they_should_be(make, tmp_path):
    check_keras_folder(_unpacked(make(), tmp_path), "it")


def _object(**more) -> dict:
    return {"module": "keras", "class_name": "Dense", "config": {}, "registered_name": None, **more}


def _function(name, module, **more) -> dict:
    return _object(class_name="function", config=name, module=module, **more)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (_function("system", "os"), "names os.system, which is not a part"),
        # Keras looks a function up by `config`, whatever is said to be registered.
        (_function("system", "os", registered_name="keras_crate>CRATE"), "names os.system"),
        (_function("get_file", "keras.utils"), r"names keras\.utils\.get_file"),
        (_function("enable_unsafe_deserialization", "keras.config"), "names keras.config.enable"),
        (_function("load_model", "keras.saving", registered_name="x"), "names keras.saving.load"),
        (
            _function("relu", "keras.activations", inbound_nodes=[{"args": ["x"], "kwargs": {}}]),
            "calls the function keras.activations.relu in its graph",
        ),
        # Keras would import the module, whatever is taken from it.
        (_function("get", "keras.losses"), "names keras.losses.get"),
        (_function("get", "antigravity"), "names antigravity.get"),
        (_function("relu", "antigravity"), "names antigravity.relu"),
        (_function("CRATE", "keras_crate", registered_name="keras_crate>CRATE"), "names keras_cr"),
        (
            {"inbound_nodes": [{"args": [{"x": [_function("relu", "keras.activations")]}]}]},
            "calls the function keras.activations.relu in its graph",
        ),
        (_object(class_name="Switch", module="keras.src.ops.core"), "holds a Switch"),
        (
            _object(
                class_name="StringLookup",
                module="keras.layers",
                config={"vocabulary": "/etc/passwd"},
            ),
            "reads the file '/etc/passwd'",
        ),
        (_object(registered_name=["a"]), "an object of no known format"),
        (_object(class_name="system", module="os"), "names os.system"),
        (_object(class_name="Popen", module="subprocess"), "names subprocess.Popen"),
        (_object(class_name="Popen", registered_name="keras_crate>CRATE"), "names keras.Popen"),
        (_object(class_name="Progbar", module="keras.utils"), "names keras.utils.Progbar"),
        (_object(class_name="CSVLogger", module="keras.callbacks"), "names keras.callbacks.CSV"),
        (_object(class_name="Lambda", module="keras.layers"), "holds a Lambda, which can run"),
        (_object(class_name="TorchModuleWrapper", module="keras.layers"), "holds a TorchModuleWr"),
        (_object(class_name="TFSMLayer", module="keras.layers"), "holds a TFSMLayer"),
        (_object(class_name="JaxLayer", module="keras.layers"), "holds a JaxLayer"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "holds a __lambda__"),
        ({"class_name": "__typespec__", "spec_name": "x", "module": "os"}, "holds a __typespec__"),
        ({"class_name": "Dense", "config": {}}, "an object of no known format"),  # the old one
    ],
)
def test_parts_that_are_refused(part, message, tmp_path):
    folder = _unpacked(keras_crate.CRATE(**SMALL), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    for place in (config["config"], config):
        place["hidden"] = [{"deep": part}]
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=message):
            check_keras_folder(folder, "it")
        del place["hidden"]
    (folder / "config.json").write_text(json.dumps(config))
    check_keras_folder(folder, "it")


def test_what_is_not_made_is_not_judged(tmp_path):
    folder = _unpacked(keras_crate.CRATE(**SMALL), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["compile_config"] = {"loss": _function("own_loss", "own")}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"names own\.own_loss"):
        check_keras_folder(folder, "it")
    check_keras_folder(folder, "it", compile=False)


@pytest.mark.parametrize("text", ["[]", "{}", '{"config": []}', "3"])
def test_what_describes_no_model(text, tmp_path):
    folder = _unpacked(keras_crate.CRATE(**SMALL), tmp_path)
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="must hold values by name under 'config'"):
        check_keras_folder(folder, "it")


def test_a_configuration_that_never_ends(tmp_path):
    folder = _unpacked(keras_crate.CRATE(**SMALL), tmp_path)
    for depth in (100, 100_000):
        nested = "[" * depth + "]" * depth
        (folder / "config.json").write_text('{"config": {"a": ' + nested + "}}")
        with pytest.raises(ValueError, match=r"nested more than 64 levels"):
            check_keras_folder(folder, "it")


def test_a_configuration_fetches_no_weights():
    """Whoever loads a model is not made to read other files, or other repositories."""
    model = keras_crate.CRATE(**SMALL)
    again = keras_crate.CRATE.from_config({**model.get_config(), "weights": "hf://a/b"})
    assert again.count_params() == model.count_params()
