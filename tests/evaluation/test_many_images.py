"""Predictions and features of many image files, also after the process was killed."""

import csv
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate.evaluation import Evaluation, many_images, write_features, write_predictions
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8, "classes": 3}


def _model(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return keras_crate.CRATE(24, 1, 2, **{**SMALL, **settings})


@pytest.fixture
def photographs(tmp_path, rng):
    """A folder with five images, one of them deeper, and two broken files."""
    folder = tmp_path / "photographs"
    (folder / "deeper").mkdir(parents=True)
    for name in ("a.png", "c.png", "deeper/b.png", "e.png", "f.png"):
        keras.utils.save_img(folder / name, rng.uniform(0, 255, (20, 20, 3)), scale=False)
    whole = (folder / "a.png").read_bytes()
    (folder / "b.png").write_bytes(whole[: len(whole) // 2])
    (folder / "d.png").write_text("no image")
    return folder


READ = ["a.png", "c.png", "deeper/b.png", "e.png", "f.png"]


def _rows(file):
    with open(file, newline="", encoding="utf8") as lines:
        return list(csv.DictReader(lines))


def test_predictions_are_those_of_the_model_in_the_order_of_the_files(photographs, tmp_path):
    model = _model(class_names=["cat", "dog, or not", "é"])
    out = tmp_path / "new" / "classes.csv"
    broken = write_predictions(model, [photographs], out, top=2, batch_size=3)
    assert list(broken) == [str(photographs / "b.png"), str(photographs / "d.png")]
    assert "truncated" in broken[str(photographs / "b.png")]
    assert broken[str(photographs / "d.png")] == "it is not an image"
    rows = _rows(out)
    assert [row["file"] for row in rows] == [str(photographs / name) for name in READ]
    images = np.concatenate(list(Evaluation.for_model(model).images(photographs, model)))
    expected = keras_crate.decode_predictions(model.predict(images, verbose=0), model, top=2)
    for row, likely in zip(rows, expected, strict=True):
        assert [row["name_1"], row["name_2"]] == [name for name, _ in likely]
        assert model.class_names[int(row["class_1"])] == row["name_1"]
        found = [float(row["probability_1"]), float(row["probability_2"])]
        np.testing.assert_allclose(found, [p for _, p in likely], atol=1e-5)
    assert [path.name for path in out.parent.iterdir()] == ["classes.csv"]


def test_features_are_those_before_the_head(photographs, tmp_path):
    model, out = _model(), tmp_path / "features.npz"
    assert len(write_features(model, [photographs], out, batch_size=3)) == 2
    found = np.load(out)
    assert found["files"].tolist() == [str(photographs / name) for name in READ]
    images = np.concatenate(list(Evaluation.for_model(model).images(photographs, model)))
    expected = keras.Model(model.input, model.get_layer("head_norm").input).predict(images)
    assert found["features"].dtype == "float32"
    np.testing.assert_allclose(found["features"], expected, atol=1e-5)


def test_files_of_which_none_can_be_read(photographs, tmp_path):
    model, files = _model(), [photographs / "b.png", photographs / "d.png"]
    assert len(write_predictions(model, files, tmp_path / "a.csv")) == 2
    assert _rows(tmp_path / "a.csv") == []
    assert len(write_features(model, files, tmp_path / "a.npz")) == 2
    assert np.load(tmp_path / "a.npz")["features"].shape == (0, 24)


def _counted(monkeypatch, fail_at=None):
    """Counts batches, and fails at one of them."""
    calls, outputs_of = [], many_images.outputs_of

    def counting(model, batch):
        calls.append(len(batch))
        if len(calls) == fail_at:
            raise KeyboardInterrupt
        return outputs_of(model, batch)

    monkeypatch.setattr(many_images, "outputs_of", counting)
    return calls


@pytest.mark.parametrize(
    ("write", "name"), [(write_predictions, "a.csv"), (write_features, "a.npz")]
)
def test_an_interrupted_run_goes_on(write, name, photographs, tmp_path, monkeypatch):
    model, out = _model(), tmp_path / name
    undisturbed = tmp_path / f"whole-{name}"
    expected = write(model, [photographs], undisturbed, batch_size=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _counted(patch, fail_at=3)
        write(model, [photographs], out, batch_size=2)
    assert not out.exists()
    calls = _counted(monkeypatch)
    assert write(model, [photographs], out, batch_size=2) == expected
    assert calls == [2, 1]  # of batches of 1, 1, 2 and 1 images, in two of which a file is broken
    if name.endswith("csv"):
        assert out.read_bytes() == undisturbed.read_bytes()
    else:
        found, whole = np.load(out), np.load(undisturbed)
        assert found["files"].tolist() == whole["files"].tolist()
        np.testing.assert_allclose(found["features"], whole["features"], atol=1e-6)
    assert not (tmp_path / f"{name}.unfinished").exists()


def test_a_run_with_other_settings_is_refused(photographs, tmp_path, monkeypatch):
    model, out = _model(), tmp_path / "a.csv"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _counted(patch, fail_at=2)
        write_predictions(model, [photographs], out, batch_size=2)
    out.write_text("of an earlier run")
    whole, changed = {"batch_size": 2}, _model(step_size=0.2)
    changed.set_weights(model.get_weights())
    for other, paths, options, what in (
        (_model(1), [photographs], whole, "model"),
        (changed, [photographs], whole, "model"),
        (model, [photographs / "a.png"], whole, "images"),
        (model, [photographs], {**whole, "top": 1}, "top"),
        (model, [photographs], {}, "batch_size"),
        (model, [photographs], {**whole, "evaluation": Evaluation((16, 16), 18)}, "preparation"),
    ):
        with pytest.raises(ValueError, match=rf"a\.csv\.unfinished has another {what}"):
            write_predictions(other, paths, out, **options)
    assert out.read_text() == "of an earlier run"
    # An image that was added is not in the run, and one that was removed is broken.
    (photographs / "0.png").write_bytes((photographs / "a.png").read_bytes())
    (photographs / "f.png").unlink()
    with pytest.warns(UserWarning, match="original list of 7 images"):
        broken = write_predictions(model, [photographs], out, **whole)
    assert "No such file" in broken[str(photographs / "f.png")]
    assert [row["file"] for row in _rows(out)] == [str(photographs / name) for name in READ[:-1]]


def test_features_of_images_that_were_removed_stay(photographs, tmp_path, monkeypatch):
    model, out = _model(), tmp_path / "a.npz"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _counted(patch, fail_at=4)
        write_features(model, [photographs], out, batch_size=2)
    for name in READ[:4]:
        (photographs / name).unlink()
    with pytest.warns(UserWarning, match="original list of 7 images"):
        write_features(model, [photographs], out, batch_size=2)
    assert np.load(out)["features"].shape == (5, 24)


@pytest.mark.parametrize("write", [write_predictions, write_features])
def test_folders_of_the_user_are_left_alone(write, photographs, tmp_path, monkeypatch):
    calls = _counted(monkeypatch)
    for name in ("results", "a.unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.npz").write_text("mine")
    with pytest.raises(OSError, match="results is a folder"):
        write(_model(), [photographs], tmp_path / "results")
    with pytest.raises(ValueError, match=r"a\.unfinished has mine\.npz and no run\.json"):
        write(_model(), [photographs], tmp_path / "a")
    assert not calls
    assert sorted(path.name for path in tmp_path.rglob("*") if photographs not in path.parents) == [
        "a.unfinished", "mine.npz", "mine.npz", "photographs", "results",
    ]  # fmt: skip


def test_a_file_that_the_user_put_beside_the_parts_stays(photographs, tmp_path, monkeypatch):
    model, unfinished = _model(), tmp_path / "a.csv.unfinished"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _counted(patch, fail_at=2)
        write_predictions(model, [photographs], tmp_path / "a.csv", batch_size=2)
    (unfinished / "mine.npz").write_text("mine")
    write_predictions(model, [photographs], tmp_path / "a.csv", batch_size=2)
    assert [path.name for path in unfinished.iterdir()] == ["mine.npz"]


def test_damaged_parts_are_computed_again(photographs, tmp_path, monkeypatch):
    model, out = _model(), tmp_path / "a.csv"
    write_predictions(model, [photographs], tmp_path / "whole.csv", batch_size=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _counted(patch, fail_at=4)
        write_predictions(model, [photographs], out, batch_size=2)
    empty, cut, damaged = sorted((tmp_path / "a.csv.unfinished").glob("*.npz"))
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:-9])
    damaged.write_bytes(b"not an archive of NumPy")
    calls = _counted(monkeypatch)
    write_predictions(model, [photographs], out, batch_size=2)
    assert len(calls) == 4 and out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("content", ['{"settings": {', '{"recipe": {}}', "[]"])
def test_a_damaged_record_is_named(content, photographs, tmp_path):
    record = tmp_path / "a.csv.unfinished/run.json"
    record.parent.mkdir()
    record.write_text(content)
    with pytest.raises(ValueError, match=r"(?s)run\.json .* Remove the folder to begin again"):
        write_predictions(_model(), [photographs], tmp_path / "a.csv")
    assert record.read_text() == content


def test_two_processes_do_not_write_one_file(photographs, tmp_path, monkeypatch):
    model, out = _model(), tmp_path / "a.csv"
    outputs_of = many_images.outputs_of

    def at_the_same_time(model, batch):
        with pytest.raises(ValueError, match="Another process is writing to"):
            write_predictions(model, [photographs], out)
        return outputs_of(model, batch)

    monkeypatch.setattr(many_images, "outputs_of", at_the_same_time)
    write_predictions(model, [photographs], out)
    assert len(_rows(out)) == 5


def test_names_that_are_no_text(photographs, tmp_path, capsys):
    model = _model(class_names=["cat", "dog", "\udcff"])
    (photographs / "c.png").rename(photographs / "c\udcff.png")
    (photographs / "d.png").rename(photographs / "d\udcff.png")
    model.save(tmp_path / "m.keras")
    words = [str(tmp_path / "m.keras"), str(photographs)]
    assert main(["predict", *words, "--csv", str(tmp_path / "a.csv")]) == 1
    assert _rows(tmp_path / "a.csv")[1]["file"] == str(photographs / r"c\udcff.png")
    assert main(["embed", *words, str(tmp_path / "a.npz")]) == 1
    assert np.load(tmp_path / "a.npz")["files"][1] == str(photographs / "c\udcff.png")
    assert main(["predict", *words]) == 1
    told = capsys.readouterr()
    assert r"c\udcff.png: " in told.out and r"left out " in told.err


def test_a_killed_command_goes_on(photographs, tmp_path, capsys):
    """The process waits for an image that does not come, and is killed."""
    _model().save(tmp_path / "m.keras")
    pipe, last = tmp_path / "pipe.png", tmp_path / "last.png"
    last.write_bytes((photographs / "a.png").read_bytes())
    os.mkfifo(pipe)

    def words(out):
        files = [str(path) for path in (photographs, pipe, last)]
        return [
            "predict",
            str(tmp_path / "m.keras"),
            *files,
            "--csv",
            str(out),
            "--batch-size",
            "2",
        ]

    out, whole = tmp_path / "a.csv", tmp_path / "whole.csv"
    process = subprocess.Popen([sys.executable, "-m", "keras_crate", *words(out)])
    try:
        while not (tmp_path / "a.csv.unfinished/000000004.npz").exists():
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    pipe.unlink()
    pipe.write_bytes((photographs / "f.png").read_bytes())
    half_written = tmp_path / "a.csv.unfinished/.unfinished-x"
    half_written.mkdir()
    (half_written / "000000006.npz").write_bytes(b"PK")
    capsys.readouterr()
    assert main(words(out)) == 1
    told = capsys.readouterr()
    assert told.out == f"wrote {out}\n"
    assert [line.split(": ")[1] for line in told.err.splitlines()[-2:]] == [
        f"left out {photographs / name}" for name in ("b.png", "d.png")
    ]
    assert main(words(whole)) == 1
    assert out.read_bytes() == whole.read_bytes() and len(_rows(out)) == 7
    assert not list(tmp_path.glob("*.unfinished*"))
    assert main(words(out)) == 1 and "--overwrite" in capsys.readouterr().err
    (photographs / "b.png").unlink()
    (photographs / "d.png").unlink()
    assert main([*words(out), "--overwrite"]) == 0
