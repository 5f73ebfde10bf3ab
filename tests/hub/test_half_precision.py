"""Weights that are stored in float16, on every backend."""

import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub import from_checkpoint, pull, push
from keras_crate.models.half_precision import save_in_half

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}
IMAGES = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def _rounded(model):
    """The model's weights as they load again, by path."""
    found = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    return {path: values.astype("float16").astype("float32") for path, values in found.items()}


def _check(loaded, expected):
    found = {weight.path: weight for weight in loaded.weights}
    assert set(found) == set(expected)
    for path, weight in found.items():
        assert weight.dtype == "float32"
        values = keras.ops.convert_to_numpy(weight)
        np.testing.assert_array_equal(values, expected[path])


def _dtypes(file) -> set:
    found = set()
    with h5py.File(file) as weights:
        weights.visititems(lambda _, item: found.add(str(getattr(item, "dtype", "group"))))
    return found - {"group"}


def test_every_reader_gives_float32(tmp_path):
    model = keras_crate.CRATE(24, 2, 2, **SMALL)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES, np.array([0, 1]), verbose=0)
    expected = _rounded(model)
    folder = push(model, "hf://user/small", dtype="float16", dry_run=tmp_path / "small")
    file = tmp_path / "a.keras"
    save_in_half(model, file)
    for loaded in (
        pull(folder),
        keras_crate.load(folder),
        keras.saving.load_model(file),
        keras_crate.CRATE(24, 2, 2, **SMALL, weights=folder),
        keras_crate.CRATE(24, 2, 2, **SMALL, weights=file),
        from_checkpoint(tmp_path / "small/model.safetensors", heads=2, **SMALL),
    ):
        _check(loaded, expected)
        assert getattr(loaded, "optimizer", None) is None
    assert model.optimizer is not None
    np.testing.assert_allclose(
        pull(folder).predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-2
    )
    assert _dtypes(tmp_path / "small/model.weights.h5") <= {"float16", "int32", "int64"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8),
        lambda: keras_crate.CRATEMAE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8).encoder(),
        lambda: keras_crate.CRATEAlpha(24, 1, 2, **SMALL),
        lambda: keras_crate.CBT(
            24, 1, 2, **{**SMALL, "patch_size": 16, "input_shape": (32, 32, 3)}
        ),
    ],
    ids=["mae", "encoder", "alpha", "cbt"],
)
def test_other_families(make, tmp_path):
    model = make()
    push(model, "hf://user/small", dtype="float16", force=True, dry_run=tmp_path / "small")
    loaded = pull(tmp_path / "small")
    assert type(loaded) is type(model)
    expected = {path: values for path, values in _rounded(model).items() if "seed" not in path}
    found = {weight.path: weight for weight in loaded.weights if "seed" not in weight.path}
    assert found.keys() == expected.keys()
    for path, weight in found.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), expected[path])


@pytest.mark.any_backend
def test_the_file_is_half_as_large_and_the_card_says_so(tmp_path):
    model = keras_crate.CRATE(96, 2, 2, **SMALL)
    for dtype in (None, "float16"):
        folder = tmp_path / str(dtype)
        push(model, "hf://user/small", dtype=dtype, force=True, dry_run=folder)
        text = (folder / "README.md").read_text("utf8")
        assert ("stored in half precision (float16)" in text) == (dtype == "float16")
    for name in ("model.weights.h5", "model.safetensors"):
        full, half = ((tmp_path / dtype / name).stat().st_size for dtype in ("None", "float16"))
        assert half < 0.65 * full
    assert _dtypes(tmp_path / "None/model.weights.h5") >= {"float32"}


@pytest.mark.any_backend
def test_too_large_values_are_refused_by_name(tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    model.get_layer("head").bias.assign([0.0, 7e4, 0.0])
    with pytest.raises(ValueError, match=r"head/bias has values that float16 cannot hold: 70000"):
        push(model, "hf://user/a", dtype="float16", force=True, dry_run=tmp_path / "a")
    (tmp_path / "a.keras").write_text("mine")
    with pytest.raises(ValueError, match="head/bias"):
        save_in_half(model, tmp_path / "a.keras")
    assert (tmp_path / "a.keras").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["a.keras"]
    with pytest.raises(ValueError, match="`dtype` must be one of 'float16'"):
        push(model, "hf://user/a", dtype="bfloat16", force=True, dry_run=tmp_path / "a")


@pytest.mark.any_backend
def test_integers_of_a_quantised_model_stay(tmp_path):
    model = keras_crate.CRATE(24, 1, 2, **SMALL)
    model.quantize("int8")
    save_in_half(model, tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    assert {"int8", "float16"} <= _dtypes(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_allclose(
        loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-2
    )
