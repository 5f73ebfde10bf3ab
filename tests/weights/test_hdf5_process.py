"""HDF5 files of strangers: what crashes or keeps the library ends a process of its own."""

import lzma
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from keras_crate import CRATE
from keras_crate.files import DiskFull
from keras_crate.weights import hdf5, hdf5_process
from keras_crate.weights.hdf5_process import clean_copy

pytestmark = pytest.mark.any_backend

FINDINGS = Path(__file__).parents[1] / "fuzz" / "findings"


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["name"] = "whole"
        file["layers/a/vars/0"] = np.arange(6, dtype="float32").reshape(2, 3)
        file["layers/a/vars"].attrs["name"] = "first"
        file["layers/b/vars/0"] = np.arange(2, dtype="float16")
        file["layers/b/vars/text"] = "words"
    return tmp_path / "a.h5"


def test_a_copy_has_the_same_content(file):
    with clean_copy(file, "it") as copy, h5py.File(copy) as clean, h5py.File(file) as given:
        names: list[str] = []
        given.visit(names.append)
        assert len(names) == 8
        for name in names:
            assert dict(clean[name].attrs) == dict(given[name].attrs)
            if isinstance(given[name], h5py.Dataset):
                assert clean[name].dtype == given[name].dtype
                np.testing.assert_array_equal(clean[name][()], given[name][()])
        assert clean.attrs["name"] == "whole"
    assert not copy.exists()


@pytest.mark.parametrize("name", ["crash_1", "crash_2", "hang_1"])
def test_files_that_crash_or_keep_the_library(name, tmp_path, monkeypatch):
    """Read in this process, the first two end it (SIGSEGV), and the third one never ends."""
    monkeypatch.setattr(hdf5_process, "_SECONDS", 2)
    path = tmp_path / "model.weights.h5"
    path.write_bytes(lzma.decompress((FINDINGS / f"{name}.weights.h5.xz").read_bytes()))
    with pytest.raises(ValueError, match=f"weights file {tmp_path} is truncated or damaged"):
        CRATE(24, 1, 2, weights=tmp_path)


@pytest.mark.parametrize(
    "link", [h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink("/nowhere"), None]
)
def test_links_are_refused(link, file):
    with h5py.File(file, "r+") as opened:
        opened["layers/more"] = link or opened["layers"]  # None: a cycle
    with pytest.raises(ValueError, match=r"it (takes .* another file or place|has two names)"):
        clean_copy(file, "it").__enter__()


def test_links_that_would_be_followed_for_ever(file):
    with h5py.File(file, "r+") as opened:
        group = opened.create_group("many")
        for _ in range(40):  # 2 ** 40 ways down
            group["a"] = opened.create_group(None)
            group["b"] = group["a"]
            group = group["a"]
    with pytest.raises(ValueError, match="it has two names for one array or group"):
        clean_copy(file, "it").__enter__()


def test_memory_and_disk_are_bounded(file, monkeypatch):
    """Chunks of zeros, compressed, declare more than any file of this size may."""
    with h5py.File(file, "r+") as opened:
        chunks = {"chunks": (1000, 1000), "compression": "gzip"}
        zeros = opened.create_dataset("zeros", (30_000, 30_000), "float32", **chunks)
        zeros[:1000, :1000] = 0
    with pytest.raises(ValueError, match=r"it is truncated or damaged.*(allocate|memory)"):
        clean_copy(file, "it").__enter__()


def test_modules_beside_the_file_and_in_the_current_folder_are_not_imported(file, monkeypatch):
    (file.parent / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(file.parent)
    monkeypatch.syspath_prepend("")
    with clean_copy(file, "it") as copy:
        assert copy.exists()


def test_a_full_disk_is_not_damage(file, monkeypatch):
    path = file.rename(file.with_name("model.weights.h5"))
    done = subprocess.CompletedProcess([], 1, b"", b"OSError: [Errno 28] No space left on device")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(DiskFull, match=r"could not be written .No space left on device"):
        CRATE(24, 1, 2, weights=path.parent)


def test_a_system_without_a_limit_still_reads(monkeypatch):
    """macOS refuses a limit of addresses; a user's own limit may be lower."""
    monkeypatch.setattr("resource.setrlimit", lambda *_: (_ for _ in ()).throw(ValueError))
    hdf5._bound_this_process(1, 1, 1)
