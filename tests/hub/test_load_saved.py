"""Configurations that describe more than their weights: nothing of the model is allocated."""

import json
import resource
import zipfile

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub.load_saved import load_saved

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    file = tmp_path_factory.mktemp("saved") / "a.keras"
    keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras_crate.CRATE(8, 1, 2, **SMALL, name="inner"),
            keras.layers.Dense(2, name="last"),
        ]
    ).save(file)
    return file


def _changed(saved, folder, change):
    """Copies a model with another configuration into a folder and into a file."""
    with zipfile.ZipFile(saved) as archive:
        archive.extractall(folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    inner, last = config["config"]["layers"][1:]
    change(inner["config"], last["config"])
    (folder / "model" / "config.json").write_text(json.dumps(config))
    with zipfile.ZipFile(folder / "b.keras", "w") as archive:
        for file in (folder / "model").iterdir():
            archive.write(file, file.name)
    return folder / "model", folder / "b.keras"


@pytest.mark.parametrize(
    "change",
    [
        lambda inner, last: inner.update(dim=12_000),
        lambda inner, last: inner.update(depth=100_000),
        lambda inner, last: last.update(units=10**9),
    ],
)
def test_a_model_that_is_much_larger_than_its_weights(change, saved, tmp_path):
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in _changed(saved, tmp_path, change):
        with pytest.raises(ValueError, match=r"it declares [\d,]+ bytes, but its weights file"):
            load_saved(path, "it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < memory + 100_000  # kB


def test_a_model_that_fits_its_weights(saved, tmp_path):
    for path in (saved, *_changed(saved, tmp_path, lambda inner, last: None)):
        assert (
            load_saved(path, "it").count_params() == keras.saving.load_model(saved).count_params()
        )


def test_the_message_is_short(saved, tmp_path):
    folder, _ = _changed(saved, tmp_path, lambda inner, last: last.update(units=-3))
    with pytest.raises(ValueError, match=r"The model it cannot be loaded: .*-3") as raised:
        load_saved(folder, "it", compile=False)
    assert len(str(raised.value)) < 400


def test_a_file_that_was_cut(saved, tmp_path):
    """Keras would say that there is no such file."""
    file = tmp_path / "cut.keras"
    for content in (saved.read_bytes()[:-100], b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"file it is truncated or damaged: copy or download"):
            load_saved(file, "it")


@keras.saving.register_keras_serializable("tests")
class _WithAnArray(keras.layers.Layer):
    def build(self, input_shape):
        self.table = keras.Variable(np.arange(3, dtype="float32"), trainable=False)

    def call(self, inputs):
        return inputs + self.table


def test_a_users_layer_may_make_a_variable_of_an_array(tmp_path):
    """Its size is not known without its values."""
    file = tmp_path / "a.keras"
    keras.Sequential([keras.Input((3,)), _WithAnArray()]).save(file)
    assert load_saved(file, "it")(np.zeros((1, 3))).shape == (1, 3)
