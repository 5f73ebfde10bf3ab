"""Files name optimizers as every backend knows them."""

import json
import zipfile

import keras
import pytest

import keras_crate
from keras_crate.models.saving import public_optimizers, save_model


def _optimizer_in(file) -> dict:
    return json.loads(zipfile.ZipFile(file).read("config.json"))["compile_config"]["optimizer"]


@pytest.mark.parametrize("name", ["AdamW", "Lion", "SGD"])
def test_public_optimizers_are_saved(tmp_path, name):
    optimizer = getattr(keras.optimizers, name)(weight_decay=0.25)
    ours = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)
    images = keras.Input((8, 8, 1))
    any_model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    ours.compile(optimizer, "categorical_crossentropy")
    any_model.compile(optimizer, "mse")
    ours.save(tmp_path / "by_keras.keras")
    save_model(ours, tmp_path / "ours.keras")
    save_model(any_model, tmp_path / "any.keras")
    for file in tmp_path.glob("*.keras"):
        saved = _optimizer_in(file)
        assert (saved["module"], saved["class_name"]) == ("keras.optimizers", name)
        loaded = keras.saving.load_model(file)
        assert isinstance(loaded.optimizer, getattr(keras.optimizers, name))
        assert loaded.optimizer.weight_decay == 0.25
    assert "get_compile_config" not in vars(any_model)


def test_optimizers_inside_others_are_named_too():
    model = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW()), "mse")
    assert "keras.src.backend" not in json.dumps(model.get_compile_config())
    assert public_optimizers({"module": "mine", "config": [1, None]}) == {
        "module": "mine",
        "config": [1, None],
    }


def test_a_file_that_cannot_be_written_stays(tmp_path, monkeypatch):
    model = keras_crate.CRATE(16, 1, 2, input_shape=(8, 8, 1), patch_size=4, classes=3)
    (tmp_path / "model.keras").write_text("before")

    def fail(*arguments, **options):
        raise OSError("full")

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(OSError, match="full"):
        save_model(model, tmp_path / "model.keras")
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert (tmp_path / "model.keras").read_text() == "before"


def doubled(x):
    return 2 * x


@pytest.mark.any_backend
def test_an_activation_that_no_file_can_name_is_refused_when_saving(tmp_path):
    small = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 5}
    for activation in (doubled, lambda x: x):
        model = keras_crate.CRATE(24, 1, 2, classifier_activation=activation, **small)
        model.with_input_shape((24, 24, 3))
        with pytest.raises(ValueError, match=r"activation that Keras does not know(.|\n)*register"):
            model.save(tmp_path / "a.keras")
        assert not list(tmp_path.iterdir())
    with keras.saving.custom_object_scope({"doubled": doubled}):
        model = keras_crate.CRATE(24, 1, 2, classifier_activation=doubled, **small)
        model.save(tmp_path / "a.keras")
    keras.saving.load_model(tmp_path / "a.keras", custom_objects={"doubled": doubled})
