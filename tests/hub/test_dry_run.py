"""`push(dry_run=FOLDER)`, and what reads such a folder. Nothing here has a network or a token."""

import shutil

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.hub import pull, push
from keras_crate.hub.keras_hub_files import KERAS_HUB_FILES
from keras_crate.hub.open_model import open_model
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

ADDRESS = "hf://somebody/small"
IMAGES = np.random.default_rng(1).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: pytest.fail("a token was read"))


def _model(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return keras_crate.CRATE(24, 1, 2, **{**SMALL, **settings})


def _push(folder, seed=0, **options):
    names = ["cat", "dog", "?"]
    model = _model(seed, class_names=names)
    return push(model, ADDRESS, dry_run=folder, force=True, **options)


def _contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_dry_run_writes_all_files_of_the_commit(tmp_path):
    folder = tmp_path / "new" / "small"
    evaluation = keras_crate.evaluation.Evaluation(size=(16, 16), resize=18)
    assert _push(folder, images=IMAGES, evaluation=evaluation) == str(folder)
    assert set(_contents(folder)) == {
        "README.md", "config.json", "metadata.json", "model.weights.h5", "model.safetensors",
        "class_names.json", "evaluation.json", "layers.png", *KERAS_HUB_FILES,
    }  # fmt: skip
    assert 'load("hf://somebody/small")' in (folder / "README.md").read_text("utf8")


def test_everything_reads_the_folder(tmp_path):
    folder = tmp_path / "small"
    _push(folder, evaluation=keras_crate.evaluation.Evaluation(size=(16, 16), resize=18))
    expected = _model(class_names=None).predict(IMAGES, verbose=0)
    given = keras_crate.CRATE(24, 1, 2, **SMALL, weights=folder)
    opened, evaluation = open_model(str(folder))
    for model in (pull(folder), pull(str(folder)), keras_crate.load(folder), given, opened):
        np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-6)
        assert model.class_names == ("cat", "dog", "?")
    assert evaluation.resize == 18


def test_a_later_dry_run_replaces_the_folder(tmp_path):
    _push(tmp_path / "a", images=IMAGES)
    before = _contents(tmp_path / "a")
    _push(tmp_path / "a", seed=1, authors_copy=False)
    after = _contents(tmp_path / "a")
    assert not {"layers.png", "model.safetensors"} & set(after)
    assert before["model.weights.h5"] != after["model.weights.h5"]


@pytest.mark.filterwarnings("ignore:.*includes a `lambda`")
def test_a_failed_dry_run_leaves_the_folder_as_it_was(tmp_path):
    _push(tmp_path / "a")
    before = _contents(tmp_path / "a")
    with pytest.raises(ValueError, match="never trained"):
        push(_model(), ADDRESS, dry_run=tmp_path / "a")
    with pytest.raises(ValueError, match="hf://user/repository"):
        push(_model(), "somebody", dry_run=tmp_path / "a", force=True)
    model = _model()
    model.compile("adam", lambda y, p: p)  # no name, so no file can have it
    with pytest.raises(ValueError, match="could not be loaded"):  # while files are written
        push(model, ADDRESS, dry_run=tmp_path / "a", force=True)
    assert _contents(tmp_path / "a") == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_folders_of_others_are_refused(tmp_path, monkeypatch):
    _push(tmp_path / "a")
    (tmp_path / "a/notes.txt").write_text("mine")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/README.md").write_text("mine")
    (tmp_path / "c").write_text("mine")
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path / "d")
    for name, reason in (
        ("a", "has notes.txt"),
        ("b", "has README.md"),
        ("c", "is a file"),
        ("d", "is the current folder"),
    ):
        with pytest.raises(ValueError, match=f"`dry_run` must be a folder .*{reason}"):
            _push(tmp_path / name)
    assert (tmp_path / "a/notes.txt").read_text() == (tmp_path / "c").read_text() == "mine"


def test_a_folder_is_checked_as_a_repository_is(tmp_path):
    _push(tmp_path / "a")
    with pytest.raises(ValueError, match="A folder has no revisions"):
        pull(tmp_path / "a", revision="v1")
    with pytest.raises(ValueError, match=r"loaded as it is.* with classes.\n.*weights="):
        keras_crate.load(tmp_path / "a", classes=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    text = (tmp_path / "b/config.json").read_text()
    (tmp_path / "b/config.json").write_text(
        text.replace('"class_name": "', '"class_name": "Lambda', 1)
    )
    for name in ("model.weights.h5", "model.safetensors"):
        (tmp_path / "a" / name).unlink()
    for read in (pull, keras_crate.load, lambda folder: open_model(str(folder))):
        with pytest.raises(
            FileNotFoundError, match=r"a holds no Keras model, since it lacks model\.weights"
        ):
            read(tmp_path / "a")
        with pytest.raises(ValueError, match="Nothing was loaded"):
            read(tmp_path / "b")
    with pytest.raises(ValueError, match="hf://user/repository"):
        pull(tmp_path / "none")


def test_the_command(tmp_path, capsys):
    _model(class_names=["a", "b", "c"]).save(tmp_path / "m.keras")
    words = ["push", tmp_path / "m.keras", ADDRESS, "--force", "--dry-run", tmp_path / "a"]
    assert main([str(word) for word in words]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {tmp_path / 'a'}: README.md, " in printed and "published nothing" in printed
    assert main(["pull", str(tmp_path / "a"), str(tmp_path / "b.keras")]) == 0
    keras.saving.load_model(tmp_path / "b.keras")
