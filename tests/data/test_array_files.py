import gzip
import struct
import zipfile

import numpy as np
import pytest
from idx_files import idx, write_idx

from keras_crate.data import open_data

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files(tmp_path, ending):
    write_idx(tmp_path, "train", 20, ending)
    assert open_data(tmp_path).validation is None
    write_idx(tmp_path, "test", 4, ending)
    (tmp_path / "raw").mkdir()  # folders beside them change nothing
    data = open_data(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)
    assert data.classes == 2 and data.class_names is None and data.test.images.shape == (4, 4, 3, 1)
    assert np.asarray(data.test.image(1, "L"))[0, 0] == 12
    whole = open_data(tmp_path, validation=0, class_names=["a", "b"])
    assert len(whole.train) == 20 and whole.class_names == ("a", "b")


@pytest.mark.parametrize("form", ["keras", "medmnist"])
def test_npz_files(tmp_path, form):
    images, labels = np.zeros((8, 4, 4), "uint8"), np.arange(8) % 2
    if form == "keras":
        arrays = {"x_train": images, "y_train": labels, "x_test": images[:4], "y_test": labels[:4]}
    else:
        colours = np.zeros((8, 4, 4, 3), "uint8")
        arrays = {
            f"{split}_{part}": values[:count]
            for split, count in (("train", 8), ("val", 3), ("test", 4))
            for part, values in (("images", colours), ("labels", labels[:, None]))
        }
    np.savez(tmp_path / "set.npz", **arrays)
    for given in (tmp_path, tmp_path / "set.npz"):
        data = open_data(given)
        counts = (7, 1, 4) if form == "keras" else (8, 3, 4)
        assert (len(data.train), len(data.validation), len(data.test)) == counts
        assert data.train.channels == (1 if form == "keras" else 3)
        assert str(given) in data.source
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(ValueError, match=r"must have one .npz file. Received: 2. .*other.npz"):
        open_data(tmp_path)


@pytest.mark.parametrize("member", ["x_train", "x_train.npy"])
def test_members_that_are_no_arrays(member, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for name in (member, "y_train.npy"):
            archive.writestr(name, b"no array")
    with pytest.raises(ValueError, match=r"x_train in .*set.npz cannot be read"):
        open_data(tmp_path)


class Unsafe:
    """Writes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def test_no_code_of_a_file_is_run(tmp_path):
    objects = np.array([Unsafe(tmp_path / "run")], dtype=object)
    np.savez(tmp_path / "set.npz", x_train=objects, y_train=np.arange(2))
    with pytest.raises(
        ValueError, match=r"array x_train in .*set.npz cannot be read: .*allow_pickle"
    ):
        open_data(tmp_path)
    assert not (tmp_path / "run").exists()


def test_broken_files_are_named(tmp_path):
    images = "train-images-idx3-ubyte"
    good = idx(np.zeros((2, 4, 3)))
    for k, (name, content, message) in enumerate((
        (images, good[:-1], r"ubyte is broken: it must have 2x4x3 values. Received: 23\."),
        (images, b"\0\0", "ubyte is broken"),
        (images, struct.pack(">HBB8I", 0, 8, 8, *[2**31] * 7, 0), "must be an IDX file of images"),
        (images, b"PK" + good, "must be an IDX file of images or labels"),
        (images, idx(np.zeros((3, 4, 3))), "ubyte cannot be used. Labels must be 3 integers"),
        (f"{images}.gz", gzip.compress(good)[:-9], r"ubyte.gz is broken \(Compressed file ended"),
        (f"{images}.gz", good, r"ubyte.gz is broken \(Not a gzipped file"),
        (images, None, "has no file train-images-idx3-ubyte or train-images-idx3-ubyte.gz"),
    )):  # fmt: skip
        folder = tmp_path / str(k)
        folder.mkdir()
        write_idx(folder, "train", 2)
        (folder / images).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            open_data(folder)
    file = tmp_path / "set.npz"
    for arrays, message in (
        ({f"\x1b[2J\n{k}": [k] for k in range(10)}, r"Received: ('\\x1b\[2J\\n\d', ){8}\.\.\.$"),
        ({"x": [1]}, r"set.npz must have the arrays x_train, y_train or .* Received: 'x'"),
        ({"x_train": np.zeros((2, 4, 4), "uint8")}, r"set.npz has no array y_train"),
        (
            {"x_train": np.full((2, 4, 4), 0.5), "y_train": [0, 1]},
            r"set.npz cannot be used. Pixels",
        ),
    ):
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=message):
            open_data(file)
    for content in (file.read_bytes()[:-30], b"", b"\x93NUMPY"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"set.npz is broken \(it is not a zip file"):
            open_data(file)
