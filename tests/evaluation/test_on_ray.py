"""Features and predictions on a local Ray, also after a worker or the program was killed."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_crate
from keras_crate.evaluation import (
    RayOptions,
    on_ray,
    write_features,
    write_features_on_ray,
    write_predictions_on_ray,
)
from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

ray = pytest.importorskip("ray")
pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as parquet  # noqa: E402

from keras_crate.evaluation import ray_images  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A Ray of this machine: CPUs for two workers, for reading and writing, and for resuming."""
    small = {"include_dashboard": False, "object_store_memory": 100_000_000}
    context = ray.init("local", num_cpus=4, **small)
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    shape = {"input_shape": (16, 16, 3), "patch_size": 8}
    return keras_crate.CRATE(24, 1, 2, classes=3, class_names=["cat", "dog", "cow"], **shape)


@pytest.fixture
def photographs(tmp_path, rng):
    """A folder with 40 images, and two broken files."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for k in range(40):
        image = rng.integers(0, 255, (20, 30, 3)).astype("uint8")
        Image.fromarray(image).save(folder / f"{k:02}.png")
    whole = (folder / "00.png").read_bytes()
    (folder / "07-cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "30-text.png").write_text("no image")
    return folder


def _rows(folder) -> dict[str, dict]:
    """The rows of a folder's Parquet files by file, each of which is there once."""
    rows = parquet.read_table(folder).to_pylist()
    assert len({row["file"] for row in rows}) == len(rows)
    return {row["file"]: row for row in rows}


def test_a_killed_worker_loses_no_image(model, photographs, tmp_path, monkeypatch):
    """One of two workers kills itself at its third batch, once."""
    log, outputs_of = tmp_path / "log", on_ray.outputs_of
    log.mkdir()

    def killing(model, images):
        mine = log / f"{os.getpid()}"
        with mine.open("a") as file:
            file.write(f"{id(model)}\n")
        if len(mine.read_text().split()) == 3:
            try:
                (log / "killed").touch(exist_ok=False)
            except FileExistsError:
                return outputs_of(model, images)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.3)  # so that the other worker gets images too
        return outputs_of(model, images)

    monkeypatch.setattr(on_ray, "outputs_of", killing)
    out = tmp_path / "features"
    options = {"batch_size": 2, "workers": 2, "rows_per_file": 8}
    assert write_features_on_ray(model, [photographs], out, **options) == 2
    monkeypatch.undo()
    assert (log / "killed").exists()
    models = [set(file.read_text().split()) for file in log.iterdir() if file.name != "killed"]
    assert len(models) >= 3 and all(len(of) == 1 for of in models)  # two workers and a new one

    rows = _rows(out)
    assert set(rows) == {str(file) for file in photographs.iterdir()}
    reasons = write_features(model, [photographs], tmp_path / "local.npz")
    assert {file: row["error"] for file, row in rows.items() if row["error"]} == reasons
    assert all((row["features"] is None) == (file in reasons) for file, row in rows.items())
    local = np.load(tmp_path / "local.npz")
    found = [rows[file]["features"] for file in local["files"]]
    np.testing.assert_allclose(found, local["features"], atol=1e-6)
    assert (
        len(list(out.glob("*.parquet"))) > 2 and not out.with_name("features.unfinished").exists()
    )


@pytest.mark.slow  # four processes import the backend
def test_a_killed_program_goes_on(model, photographs, tmp_path, cluster, capsys, monkeypatch):
    """The program waits for an image that does not come, and is killed."""
    monkeypatch.chdir(tmp_path)  # Ray's processes run elsewhere
    model.save("m.keras")
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    images = ["photographs", "pipe.png", "photographs/00.png"]  # one of them twice
    out, unfinished = tmp_path / "classes", tmp_path / "classes.unfinished"
    words = ["predict", "m.keras", *images, "--parquet", "classes"]
    words += ["--engine", "ray", "--workers", "1", "--rows-per-file", "8", "--top", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_crate", *words, "--batch-size", "2"],
        env={**os.environ, "RAY_ADDRESS": cluster},
        stderr=subprocess.DEVNULL,
    )
    try:
        while len(list(unfinished.glob("done/*[!g].parquet"))) < 2:
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not out.exists()
    pipe.unlink()
    pipe.write_bytes((photographs / "00.png").read_bytes())
    kept = {file.stem for file in unfinished.glob("done/*[!g].parquet")}
    # As if the program had been killed after it wrote a file and before it noted that.
    half = min(kept)
    done = unfinished / "done" / f"{half}.parquet"
    done.rename(done.with_suffix(".pending.parquet"))
    capsys.readouterr()

    assert main([*words, "--batch-size", "5"]) == 0
    told = capsys.readouterr().out
    assert told == f"wrote {out}\n2 images could not be read. The column `error` has the reasons.\n"
    rows = _rows(out)
    assert set(rows) == {f"photographs/{name}" for name in os.listdir(photographs)} | {"pipe.png"}
    files = {path.name for path in out.iterdir()}
    assert {name for name in kept if any(file.startswith(name) for file in files)} == kept - {half}
    assert not unfinished.exists()
    row = rows["pipe.png"]
    names = ["class_1", "name_1", "probability_1", "class_2", "name_2", "probability_2"]
    assert list(row) == ["file", *names, "error"]
    pixels = keras_crate.evaluation.Evaluation.for_model(model).images([pipe], model)
    expected = keras_crate.decode_predictions(model.predict(next(iter(pixels)), verbose=0), model)
    assert [row["name_1"], row["name_2"]] == [name for name, _ in expected[0][:2]]
    np.testing.assert_allclose(row["probability_1"], expected[0][0][1], atol=1e-6)
    assert rows["photographs/30-text.png"] == {
        **dict.fromkeys(["file", *names]),
        "file": "photographs/30-text.png",
        "error": "it is not an image",
    }


def _png(rng) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (16, 16, 3)).astype("uint8")).save(file, "png")
    return file.getvalue()


def _write_parquet(file, **columns) -> Path:
    parquet.write_table(pa.table(columns), file, row_group_size=2)
    return file


@pytest.mark.parametrize("in_workers", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_images_in_parquet(in_workers, model, tmp_path, rng, monkeypatch):
    """As data sets of Hugging Face have them. Without workers, this process computes all."""
    images = [_png(rng) for _ in range(4)]
    for k in range(2):
        cells = [{"bytes": data, "path": None} for data in [*images[2 * k : 2 * k + 2], None]]
        _write_parquet(tmp_path / f"{k}.parquet", photo=[*cells, None])

    def in_this_process(data, outputs, images, key, column, options):
        rows = pa.concat_tables(data.iter_batches(batch_format="pyarrow"))
        prepared = ray_images.read_images(rows, images, key, column, "")
        worker = ray_images.Worker(ray.put(outputs), images)
        return ray.data.from_arrow([worker(prepared.slice(start, 3)) for start in (0, 3, 6)])

    if not in_workers:
        monkeypatch.setattr(on_ray, "with_outputs", in_this_process)
    out = tmp_path / "out"
    assert write_features_on_ray(model, tmp_path, out, column="photo", batch_size=3) == 4
    rows = parquet.read_table(out).to_pylist()
    assert len({row["row_hash"] for row in rows}) == 8  # though four of them are equal
    broken = [row for row in rows if row["error"]]
    assert all((row["features"], row["error"]) == (None, "it is null") for row in broken)
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)), "float32") for data in images])
    expected = keras.Model(model.input, model.get_layer("head_norm").input).predict(pixels)
    found = [row["features"] for row in rows if not row["error"]]
    np.testing.assert_allclose(sorted(found), sorted(expected.tolist()), atol=1e-5)


def test_columns_of_images_in_parquet(tmp_path, rng):
    file = _write_parquet(tmp_path / "0.parquet", image=[_png(rng)], name=["a"], path=["b"])
    assert ray_images.images_in_parquet([file], RayOptions())[1:] == ("path", "image")
    assert ray_images.images_in_parquet([file], RayOptions(key="name"))[1:] == ("name", "image")
    for options in ({"column": "photo"}, {"key": "id"}):
        with pytest.raises(
            ValueError, match=r"0\.parquet: 'image', 'name', 'path'. Received: \w+='"
        ):
            ray_images.images_in_parquet([file], RayOptions(**options))


def test_numbers_of_workers():
    """GPUs of each worker, the most workers, and those at the beginning."""
    for cluster, options, expected in (
        ({"CPU": 4.0}, {}, (0, 2, 2)),
        ({"CPU": 4.0}, {"workers": 8}, (0, 8, 2)),
        ({"CPU": 3.0}, {"workers": 2}, (0, 2, 1)),
        ({"CPU": 64.0, "GPU": 4.0}, {}, (1, 4, 4)),
        ({"CPU": 64.0, "GPU": 4.0}, {"gpus": 0.5}, (0.5, 8, 8)),
        ({"CPU": 64.0, "GPU": 4.0}, {"gpus": 0, "workers": 3}, (0, 3, 3)),
        ({}, {"workers": 16, "gpus": 1}, (1, 16, 1)),  # it grows
    ):
        assert ray_images._sizes(cluster, RayOptions(**options)) == expected
    with pytest.raises(ValueError, match=r"must have 3 CPUs or more.* cluster with 2"):
        ray_images._sizes({"CPU": 2.0}, RayOptions())


def test_what_is_refused(model, photographs, tmp_path):
    for mixed in ([photographs, tmp_path / "a.parquet"], [tmp_path / "a.parquet", photographs]):
        with pytest.raises(ValueError, match="must all be Parquet files"):
            write_features_on_ray(model, mixed, tmp_path / "out")
    with pytest.raises(OSError, match="not a folder of results"):
        write_features_on_ray(model, photographs, photographs)
    (tmp_path / "shards").mkdir()
    parquet.write_table(pa.table({"image": [b""]}), tmp_path / "shards/0.parquet")
    for out in ("shards", "."):
        with pytest.raises(OSError, match="not a folder of results"):
            write_features_on_ray(model, tmp_path / "shards", tmp_path / out)
    with pytest.raises(ValueError, match="every machine sees"):
        write_features_on_ray(model, photographs, "s3://bucket/features")
    with pytest.raises(ValueError, match="no file or folder"):
        write_features_on_ray(model, tmp_path / "nothing", tmp_path / "out")
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_run_with_other_settings_is_refused(model, photographs, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(on_ray, "write_parts", interrupted)
        write_predictions_on_ray(model, photographs, tmp_path / "out", top=2)
    for options, what in (
        ({"top": 1}, "top"),
        ({"evaluation": keras_crate.evaluation.Evaluation((16, 16), 18)}, "preparation"),
        ({"key": "id"}, "key"),
    ):
        with pytest.raises(ValueError, match=rf"out\.unfinished has another {what}"):
            write_predictions_on_ray(model, photographs, tmp_path / "out", **{"top": 2, **options})
    mine = tmp_path / "mine.unfinished"
    mine.mkdir()
    Path(mine / "my.parquet").touch()
    with pytest.raises(ValueError, match=r"mine\.unfinished has my\.parquet and no run\.json"):
        write_predictions_on_ray(model, photographs, tmp_path / "mine")
