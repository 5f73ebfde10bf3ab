"""What is at a path when something else is to be written there, and when the disk is full."""

import contextlib
import os
import resource
import signal
import tempfile
import types

import numpy as np
import pytest
from marks import those_of_pytorch

from keras_crate.files import DiskFull, _remove_left, scratch_folder, write_json, written_whole
from keras_crate.hub.to_pytorch import write_tensors
from keras_crate.models import CRATE
from keras_crate.models.half_precision import save_in_half
from keras_crate.models.saving import save_model, saved_size

pytestmark = pytest.mark.any_backend


def test_a_file_does_not_replace_a_folder(tmp_path):
    for name in ("results", "weights.bin"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(OSError, match="results is a folder"), written_whole(tmp_path / "results"):
        pytest.fail("the work began")
    with (
        pytest.raises(OSError, match=r"weights\.bin"),
        written_whole(tmp_path / "model.xml") as new,
    ):
        new.write_text("new")
        new.with_name("weights.bin").write_text("new")
    assert {path.name for path in tmp_path.iterdir()} == {"results", "weights.bin"}
    for name in ("results", "weights.bin"):
        assert (tmp_path / name / "mine.txt").read_text() == "mine"


def test_a_folder_replaces_a_folder_and_no_file(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/part").write_text("old")
    (tmp_path / "file").write_text("mine")
    with written_whole(tmp_path / "old", folder=True) as unfinished:
        unfinished.mkdir()
    assert not any((tmp_path / "old").iterdir())
    with (
        pytest.raises(OSError, match="file"),
        written_whole(tmp_path / "file", folder=True) as unfinished,
    ):
        unfinished.mkdir()
    assert (tmp_path / "file").read_text() == "mine"


@contextlib.contextmanager
def _small_disk(size=10_000):
    """The system refuses to write files of more bytes, as it does when a disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _figure(file):
    from keras_crate.figure import new_figure

    with written_whole(file) as unfinished:
        new_figure(9, 9).savefig(unfinished, dpi=300)


def _model():
    return CRATE(32, 2, 2, input_shape=(8, 8, 1), patch_size=4, classes=2)


TENSORS = {"a": np.arange(20_000, dtype="float32")}
WRITERS = {
    "model.keras": lambda file: save_model(_model(), file),
    "half.keras": lambda file: save_in_half(_model(), file),
    "a.safetensors": lambda file: write_tensors(TENSORS, file),
    "a.pth": lambda file: write_tensors(TENSORS, file),
    "a.json": lambda file: write_json(file, list(range(9000))),
    "a.png": _figure,
}


@pytest.mark.parametrize("name", those_of_pytorch(WRITERS))
def test_a_full_disk_is_told_and_changes_nothing(name, tmp_path):
    file = tmp_path / name
    file.write_text("before")
    message = rf"{name} could not be written \(File too large\): it needs .* bytes, and"
    with _small_disk(), pytest.raises(DiskFull, match=message) as raised:
        WRITERS[name](file)
    assert len(str(raised.value).splitlines()) <= 4
    assert [path.name for path in tmp_path.iterdir()] == [name] and file.read_text() == "before"
    WRITERS[name](file)
    assert file.read_bytes() != b"before"


def test_a_model_that_does_not_fit_is_refused_before_it_is_written(tmp_path, monkeypatch):
    """HDF5 can crash the process when it finds a full disk by itself."""
    model = _model()
    free = saved_size(model) - 1
    assert free + 1 == sum(4 * np.prod(v.shape) for v in model.variables)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: types.SimpleNamespace(total=9**9, free=free)
    )
    monkeypatch.setattr(model, "save", lambda path: pytest.fail("it was written"))
    with pytest.raises(DiskFull, match=f"needs {free + 1:,} bytes, and {free:,} were free"):
        save_model(model, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_in_the_temporary_folder_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with scratch_folder() as folder:
            (folder / "model").write_text("whole")
            os.utime(folder.parent, (0, 0))
            os.write(told, b"1")
            signal.pause()
    os.read(ready, 1)
    with scratch_folder():
        assert len(list(tmp_path.iterdir())) == 2  # the other is in use
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    [left] = tmp_path.iterdir()
    _remove_left.cache_clear()  # as in another process
    with scratch_folder():
        assert not left.exists()
    assert not list(tmp_path.iterdir())
