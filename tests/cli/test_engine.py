"""The options of `--engine ray`, which are refused without it, and the other way round."""

import importlib.util

import pytest

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["embed", "OUT.npz", "--workers", "2"], "--workers needs --engine ray"),
        (["embed", "OUT.npz", "--rows-per-file", "9"], "--rows-per-file needs --engine ray"),
        (["embed", "OUT.npz", "--engine", "ray"], "must be a folder with --engine ray"),
        (["embed", "", "--engine", "ray"], "exists. Pass --overwrite"),
        (["embed", "OUT"], "OUT must end in .npz"),
        (["predict", "--engine", "ray"], "--engine ray and --parquet FOLDER need each other"),
        (["predict", "--engine", "ray", "--csv", "OUT.csv"], "--parquet FOLDER need each other"),
        (["predict", "--parquet", "OUT"], "--parquet FOLDER need each other"),
        (["predict", "--csv", "OUT.csv", "--key", "id"], "--key needs --engine ray"),
        (["predict", "--engine", "ray", "--parquet", ""], "exists. Pass --overwrite"),
    ],
)  # fmt: skip
def test_options_of_the_other_engine(words, message, model_file, folder, refused, tmp_path):
    command, *rest = words
    rest = [
        str(tmp_path / word) if word in ("", "OUT") or "OUT." in word else word for word in rest
    ]
    assert message in refused(command, model_file, folder, *rest)
    assert not list(tmp_path.glob("OUT*"))


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_without_ray(model_file, folder, refused, tmp_path):
    words = ("--engine", "ray", "--parquet", tmp_path / "classes")
    assert "The engine ray needs 'ray[data]>=2.60' aiohttp, which cannot be imported (" in (
        refused("predict", model_file, folder, *words)
    )
