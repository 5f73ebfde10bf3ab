"""A published model's safetensors are read instead of its HDF5, with the same result."""

import json
import lzma
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub import pull, push
from keras_crate.weights.tensor_files import AUTHORS_FILE, WEIGHTS_FILE

CRASHES = Path(__file__).parents[1] / "fuzz/findings/crash_1.weights.h5.xz"
ADDRESS = "hf://somebody/small"
SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3, "name": "small"}
MODELS = {
    "CRATE": lambda **given: keras_crate.CRATE(
        8, 1, 2, **{**SMALL, "class_names": ["a", "b", "c"], "penalty": 0.2, **given}
    ),
    "CRATEAlpha": lambda **given: keras_crate.CRATEAlpha(8, 1, 2, **SMALL, **given),
    "CBT": lambda **given: keras_crate.CBT(8, 1, 2, **SMALL, **given),
    "CRATEMAE": lambda **given: keras_crate.CRATEMAE(
        8, 1, 2, input_shape=(16, 16, 3), patch_size=8, name="small", **given
    ),
}


def _published(folder, model, **options):
    """Publishes a model with random weights; returns two folders, one without safetensors."""
    numbers = np.random.default_rng(3)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(numbers.uniform(0.5, 1.5, weight.shape))
    push(model, ADDRESS, dry_run=folder / "both", **options)
    shutil.copytree(folder / "both", folder / "hdf5")
    (folder / "hdf5" / AUTHORS_FILE).unlink(missing_ok=True)
    return folder / "both", folder / "hdf5"


def _make_hostile(folder):
    (folder / WEIGHTS_FILE).write_bytes(lzma.decompress(CRASHES.read_bytes()))


def _check_equal(found, expected):
    assert type(found) is type(expected)
    assert found.get_config() == expected.get_config()
    assert found.dtype_policy.name == expected.dtype_policy.name
    own, others = (
        {w.path: w for w in model.weights if "seed" not in w.path} for model in (found, expected)
    )
    assert own.keys() == others.keys()
    for path, weight in own.items():
        assert weight.dtype == others[path].dtype
        if "lora_kernel_a" in path:  # adapters are saved as a part of the kernel, and begin anew
            continue
        values, other = (
            np.asarray(keras.ops.convert_to_numpy(w)).tobytes() for w in (weight, others[path])
        )
        assert values == other, path


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("family", MODELS)
def test_every_bit_is_that_of_hdf5(family, dtype, tmp_path):
    both, hdf5 = _published(tmp_path, MODELS[family](dtype=dtype))
    expected = pull(hdf5)
    _make_hostile(both)
    found = pull(both)
    _check_equal(found, expected)
    assert getattr(found, "class_names", None) == getattr(expected, "class_names", None)
    if dtype == "float32":
        _check_equal(MODELS[family](weights=both), MODELS[family](weights=hdf5))


@pytest.mark.any_backend
def test_a_model_stored_in_half_precision(tmp_path):
    both, hdf5 = _published(tmp_path, MODELS["CRATE"](), dtype="float16")
    _make_hostile(both)
    _check_equal(pull(both), pull(hdf5))


@pytest.mark.any_backend
@pytest.mark.parametrize("given", [{"input_shape": (16, 24, 3)}, {"input_shape": (None, None, 3)}])
def test_positions_of_any_grid(given, tmp_path):
    both, hdf5 = _published(tmp_path, MODELS["CRATE"](**given))
    _make_hostile(both)
    _check_equal(pull(both), pull(hdf5))
    with pytest.warns(UserWarning, match="they were resized"):
        found, expected = (
            MODELS["CRATE"](input_shape=(32, 16, 3), weights=folder) for folder in (both, hdf5)
        )
    _check_equal(found, expected)


@pytest.mark.any_backend
def test_other_models_are_refused_as_with_hdf5(tmp_path):
    for folder in _published(tmp_path, MODELS["CRATE"]()):
        with pytest.raises(ValueError, match=r"block_0_mssa has 2 heads in the file and 4 in"):
            keras_crate.CRATE(8, 1, 4, **SMALL, weights=folder)
        with pytest.warns(UserWarning, match="other settings: penalty=0.2 there"):
            MODELS["CRATE"](penalty=0.1, weights=folder)


def _with_adapters(model):
    model.enable_lora(2)


def _compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((2, 16, 16, 3)), np.zeros(2), verbose=0)


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({"dtype": "float64"}, lambda model: None),
        ({"registers": 1}, lambda model: None),
        ({}, _with_adapters),
        ({}, _compiled),
    ],
)
def test_what_safetensors_does_not_hold(given, change, tmp_path):
    model = MODELS["CRATE"](**given)
    change(model)
    both, hdf5 = _published(tmp_path, model)
    found = pull(both)
    _check_equal(found, pull(hdf5))
    assert {w.path for w in found.weights} == {w.path for w in model.weights}
    _check_equal(*(MODELS["CRATE"](**given, weights=folder) for folder in (both, hdf5)))
    if change is _compiled:
        assert int(found.optimizer.iterations) == 1
        _make_hostile(both)
        _check_equal(pull(both, compile=False), model)


@pytest.mark.any_backend
def test_safetensors_of_another_program(tmp_path):
    from safetensors.numpy import save_file

    both, hdf5 = _published(tmp_path, MODELS["CRATE"]())
    save_file({"encoder.weight": np.zeros(3, "float32")}, both / AUTHORS_FILE)
    _check_equal(pull(both), pull(hdf5))
    keras_crate.hub.to_pytorch(MODELS["CRATEAlpha"](), both / AUTHORS_FILE)
    _check_equal(pull(both), pull(hdf5))


@pytest.mark.any_backend
@pytest.mark.parametrize("setting", ["heads", "patch_size", "input_shape"])
def test_a_configuration_without_a_setting(setting, tmp_path):
    """It need not be ours; the constructor's own settings count."""
    both, hdf5 = _published(tmp_path, MODELS["CRATE"]())
    for value in ([[]], 0):
        config = json.loads((hdf5 / "config.json").read_text())
        config["config"] |= {setting: value, "grid": None}
        (both / "config.json").write_text(json.dumps(config))
        _check_equal(MODELS["CRATE"](weights=both), MODELS["CRATE"](weights=hdf5))


@pytest.mark.any_backend
def test_a_damaged_copy_and_a_missing_one(tmp_path):
    both, hdf5 = _published(tmp_path, MODELS["CRATE"]())
    (both / WEIGHTS_FILE).unlink()
    _check_equal(pull(both), pull(hdf5))
    content = (both / AUTHORS_FILE).read_bytes()
    (both / AUTHORS_FILE).write_bytes(content[:-9])
    for read in (pull, lambda folder: MODELS["CRATE"](weights=folder)):
        with pytest.raises(ValueError, match=r"both/model.safetensors is truncated or damaged"):
            read(both)
    (both / AUTHORS_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=r"no Keras model, since it lacks model.weights.h5"):
        pull(both)


@pytest.mark.any_backend
def test_a_model_that_is_much_larger_than_its_safetensors(tmp_path):
    both, _ = _published(tmp_path, MODELS["CRATE"]())
    config = json.loads((both / "config.json").read_text())
    config["config"]["dim"] = 12_000
    (both / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"declares [\d,]+ bytes, but its weights file"):
        pull(both)
