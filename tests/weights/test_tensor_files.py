"""Files that cannot be read, or would read other files. Good ones: test_from_checkpoint."""

import io
import json
import struct
import sys
import zipfile

import h5py
import numpy as np
import pytest

from keras_crate import CRATE
from keras_crate.weights.tensor_files import open_tensors

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5)
    model.save(folder / "a.keras")
    model.save_weights(folder / "a.weights.h5")
    return folder


def _names(path):
    with open_tensors(path) as file:
        return {name: tensor.shape for name, tensor in file.tensors.items()}


def test_forms_of_keras_have_the_same_names(saved, tmp_path):
    with zipfile.ZipFile(saved / "a.keras") as archive:
        archive.extractall(tmp_path / "folder")
    names = _names(saved / "a.keras")
    assert names["block_0_mssa/subspaces/0"] == (24, 24)
    assert names == _names(saved / "a.weights.h5") == _names(tmp_path / "folder")


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*none.keras"):
        CRATE(24, 1, 2, weights=tmp_path / "none.keras")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no file model.weights.h5"):
        _names(tmp_path / "empty")


@pytest.mark.parametrize("name", ["a.keras", "a.weights.h5"])
@pytest.mark.parametrize("share", [0.999, 0.5, 0.01])
def test_a_truncated_file(name, share, saved, tmp_path):
    content = (saved / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=f"{name} is truncated or damaged"):
        _names(tmp_path / name)


def test_a_keras_file_with_another_sum(saved, tmp_path):
    content = bytearray((saved / "a.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.keras").write_bytes(content)
    with pytest.raises(ValueError, match="truncated or damaged"):
        _names(tmp_path / "a.keras")


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    for content in (b"no weights", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"notes.txt is not a weights file. It can be a file"):
            _names(path)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = [1]
    with pytest.raises(ValueError, match="HDF5 file without layers of Keras"):
        _names(tmp_path / "a.h5")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    with pytest.raises(ValueError, match="zip archive without weights"):
        _names(tmp_path / "a.zip")


def _external_link(file, group, path):
    del group["vars/0"]
    group["vars/0"] = h5py.ExternalLink(path, "x")


def _external_storage(file, group, path):
    del group["vars/0"]
    group.create_dataset("vars/0", (5,), "float32", external=[(path, 0, 20)])


def _virtual(file, group, path):
    layout = h5py.VirtualLayout((5,), "float32")
    layout[:] = h5py.VirtualSource(path, "x", (5,))
    del group["vars/0"]
    group.create_virtual_dataset("vars/0", layout)


@pytest.mark.parametrize("kind", [_external_link, _external_storage, _virtual])
def test_content_of_other_files_is_refused(kind, saved, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(5, dtype="float32")
    path = tmp_path / "a.weights.h5"
    path.write_bytes((saved / "a.weights.h5").read_bytes())
    with h5py.File(path, "a") as file:
        head = next(g for g in file["layers"].values() if g["vars"].attrs["name"] == "head")
        kind(file, head, str(tmp_path / "secret.h5"))
    with pytest.raises(ValueError, match=r"takes weights from another file or place \(0\)"):
        _names(path)


def test_an_array_that_was_declared_and_never_written(saved, tmp_path):
    """Reading it would take gigabytes."""
    path = tmp_path / "a.weights.h5"
    path.write_bytes((saved / "a.weights.h5").read_bytes())
    with h5py.File(path, "a") as file:
        head = next(g for g in file["layers"].values() if g["vars"].attrs["name"] == "head")
        del head["vars/0"]
        head.create_dataset("vars/0", (300_000, 300_000), "float32", chunks=(1000, 1000))
    with pytest.raises(ValueError, match=r"a.weights.h5 declares an array that it does not hold"):
        CRATE(24, 1, 2, input_shape=(16, 16, 3), patch_size=8, classes=5, weights=path)


def test_a_name_does_not_decide_the_depth():
    names = {
        f"transformer.layers.{3_000_000}.0.norm.weight": np.zeros(4, "float32"),
        "cls_token": np.zeros((1, 1, 4), "float32"),
        "pos_embedding": np.zeros((1, 5, 4), "float32"),
        "to_patch_embedding.1.weight": np.zeros(12, "float32"),
    }
    with pytest.raises(ValueError, match="a block numbered 3000000, but only 4 tensors"):
        CRATE(4, 1, 1, weights=names)


def test_an_archive_of_a_new_version(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.zeros(3))
    content = bytearray(buffer.getvalue())
    content[6] = 9
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", bytes(content))
    with pytest.raises(ValueError, match=r"a.npz"):
        _names(tmp_path / "a.npz")


def test_safetensors_in_bfloat16_need_no_pytorch(tmp_path, monkeypatch):
    import ml_dtypes

    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    values = np.linspace(-3, 3, 12).reshape(3, 4).astype(ml_dtypes.bfloat16)
    content = values.tobytes()
    entry = {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, len(content)]}
    header = json.dumps({"x": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + content)
    with open_tensors(path) as file:
        assert file.tensors["x"].dtype == "bfloat16"
        np.testing.assert_array_equal(file.tensors["x"].read(), values.astype("float32"))
