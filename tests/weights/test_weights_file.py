import h5py
import pytest

import keras_crate
from keras_crate import CRATE
from keras_crate.models.weights_file import load_weights_file


def _model(**overrides):
    small = dict(dim=24, depth=2, heads=2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    return CRATE(**{**small, **overrides})


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*none.keras.*`weights`"):
        keras_crate.CRATETiny(weights=tmp_path / "none.keras", input_shape=(32, 32, 3))


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
def test_a_truncated_file(name, share, tmp_path):
    model = _model()
    path = tmp_path / name
    model.save(path) if name == "a.keras" else model.save_weights(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_weights_file(model, path)


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"notes.txt is not a Keras weights file"):
        load_weights_file(_model(), path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not a Keras weights file"):
        load_weights_file(_model(), path)


def test_hdf5_and_zip_without_weights(tmp_path):
    import zipfile

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(ValueError, match="HDF5 file without Keras layers"):
        load_weights_file(_model(), tmp_path / "a.h5")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(ValueError, match="zip archive without Keras weights"):
        load_weights_file(_model(), tmp_path / "a.zip")


def test_published_sizes_are_named(tmp_path):
    shape = {"input_shape": (32, 32, 3)}
    keras_crate.CRATESmall(**shape).save_weights(tmp_path / "s.weights.h5")
    with pytest.raises(
        ValueError,
        match=r"The file: width 576, 12 blocks of ista and mssa \(CRATESmall\). "
        r"This model: width 384, 12 blocks of ista and mssa \(CRATETiny\).*"
        r"patch_embedding/projection/kernel has shape \(768, 576\) in the file and "
        r"\(768, 384\) in the model",
    ):
        keras_crate.CRATETiny(weights=tmp_path / "s.weights.h5", **shape)


@pytest.mark.parametrize(
    ("overrides", "variable"),
    [
        ({"depth": 1}, "block_1_norm_1/gamma has no counterpart in the file"),
        ({"depth": 3}, "block_2_ista/dictionary is in the file and not in the model"),
        ({"patch_size": 4}, r"patch_embedding/patch_norm/gamma has shape \(48,\) in the file"),
    ],
)
def test_the_first_difference_is_named(overrides, variable, tmp_path):
    _model(**overrides).save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=variable):
        load_weights_file(_model(), tmp_path / "a.keras")


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
def test_other_heads_are_refused_though_all_shapes_agree(name, tmp_path):
    model = _model(heads=4)
    path = tmp_path / name
    model.save(path) if name == "a.keras" else model.save_weights(path)
    with pytest.raises(ValueError, match=r"block_0_mssa has 4 heads in the file and 2"):
        load_weights_file(_model(), path)
    with pytest.raises(ValueError, match="4 heads"):
        _model().load_weights(path)


def test_a_quantised_file_is_sent_to_load_model(tmp_path):
    model = _model()
    model.quantize("int8")
    model.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"quantised.*load_model"):
        load_weights_file(_model(), tmp_path / "a.keras")
