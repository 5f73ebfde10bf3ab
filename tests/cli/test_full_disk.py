"""Commands on a full disk: one message, and what was there before is unchanged.

A run on a full disk: tests/training/test_resume.py.
"""

import resource
import types

import pytest
from marks import TORCH

from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

COMMANDS = {
    "measured.json": "evaluate {model} {data} --json {out}",
    "confusion.png": "evaluate {model} {data} --confusion {out}",
    "classes.csv": "predict {model} {data} --csv {out} --overwrite",
    "features.npz": "embed {model} {data} {out} --overwrite",
}


@pytest.fixture
def run(model_file, folder, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (folder / "0.png").rename(tmp_path / "data/cat/0.png")
    (folder / "1.jpg").rename(tmp_path / "data/dog/1.jpg")

    def run(words, out):
        words = words.split()
        places = {"{model}": model_file, "{data}": tmp_path / "data", "{out}": out}
        return main([str(places.get(word, word)) for word in words])

    return run


def _content(path):
    return {f.name: f.read_bytes() for f in (path.iterdir() if path.is_dir() else [path])}


def _check_refused(run, words, out, capsys, size):
    before, names = _content(out), {path.name for path in out.parent.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        assert run(words, out) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "could not be written (File too large): it needs" in error
    assert "What was there before is unchanged." in error
    assert _content(out) == before
    left = {path.name for path in out.parent.iterdir()} - names
    assert left <= {f"{out.name}.unfinished"}  # from which the command goes on


@pytest.mark.parametrize("name", COMMANDS)
def test_files_of_results(name, run, tmp_path, capsys):
    out = tmp_path / name
    out.write_text("before")
    _check_refused(run, COMMANDS[name], out, capsys, 50)
    assert run(COMMANDS[name], out) == 0
    assert out.read_bytes() != b"before"


def test_a_dry_run(run, tmp_path, capsys):
    words = "push {model} hf://a/b --force --dry-run {out}"
    assert run(words, tmp_path / "dry") == 0
    _check_refused(run, words, tmp_path / "dry", capsys, 5000)


@pytest.mark.skipif(not TORCH, reason="the format is PyTorch's")
def test_an_export(run, tmp_path, capsys, monkeypatch):
    """It is refused before it begins: PyTorch would end the process."""
    (tmp_path / "a.pt2").write_text("before")
    disk = types.SimpleNamespace(total=9**9, free=1_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: disk)
    assert run("export {model} {out} --overwrite", tmp_path / "a.pt2") == 1
    assert "it needs 1,0" in (error := capsys.readouterr().err) and "1,000,000 were free" in error
    assert (tmp_path / "a.pt2").read_text() == "before"
