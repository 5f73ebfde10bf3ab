"""A Space: its files, its commit, and the page that it starts."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from app_pages import ask, start, stop, upload
from hub_client import MODELS, HubClient

from keras_crate.app import space
from keras_crate_cli import run

pytestmark = pytest.mark.any_backend
ROOT = Path(__file__).parents[2]


def test_the_requirements_are_those_of_the_package():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["app"], *extras["look"], *extras["plot"]]
    assert set(space.REQUIREMENTS) == {w for w in wanted if not w.startswith("keras-crate[")}


def test_the_files_start_by_themselves(tmp_path, capsys):
    folder = tmp_path / "space"
    command = ["crate_fashion_mnist", "--space", "hf://user/inside", "--license", "mit"]
    run("push", [*command, "--dry-run", str(folder)])
    assert "published nothing" in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "app.py", "requirements.txt", "keras_crate", "models"}
    assert "MIT" in (folder / "keras_crate/LICENSE").read_text()
    front = (folder / "README.md").read_text().split("---\n")[1]
    for line in ("sdk: gradio", "app_file: app.py", "license: mit"):
        assert line in front.splitlines()
    assert re.search(r"^sdk_version: 6\.", front, re.M)
    assert (folder / "models/crate_fashion_mnist/config.json").is_file()

    # Only this folder is on the path: `-P` leaves out the working folder, too.
    bare = {"PYTHONPATH": str(folder), "GRADIO_SERVER_PORT": "0"}
    found = start([sys.executable, "-P", str(folder / "app.py")], tmp_path / "tmp", **bare)
    try:
        assert found.address.startswith("http://127.0.0.1:")
        status, config = ask(found, "/config")
        parts = [part["props"] for part in json.loads(config)["components"]]
        (model,) = (part for part in parts if part.get("label") == "Model")
        assert status == 200 and model["value"] == "models/crate_fashion_mnist"
        assert model["allow_custom_value"] is False
        assert [name for name, _ in model["choices"]] == [model["value"], "a plain ViT"]
        _, answer = upload(found, "a.png", b"content")
        (uploaded,) = map(Path, json.loads(answer))
        assert uploaded.is_file()
    finally:
        stop(found)
    assert found.process.returncode == 0
    assert not uploaded.exists()
    assert not list(found.folder.glob("keras-crate-app-*"))
    assert "Traceback" not in found.log.read_text()


def test_no_hidden_file_is_copied(tmp_path, monkeypatch):
    package = tmp_path / "package"
    for name in ("__init__.py", ".env", ".git/config", "app/__pycache__/a.pyc", "app/a.py",
                 "weights/files/a.keras"):  # fmt: skip
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).touch()
    monkeypatch.setattr(space.keras_crate, "__file__", str(package / "__init__.py"))
    space._copy_package(tmp_path / "copy")
    copied = [path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*.*")]
    assert sorted(map(str, copied)) == ["__init__.py", "app/a.py", "weights/files/variants.toml"]


def test_a_dry_run_leaves_other_folders_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ValueError, match="new, empty, or that an earlier dry run of a Space"):
            space._check_dry_run(folder)
    with pytest.raises(ValueError, match="new, empty"):
        space._check_dry_run(Path.cwd())
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_a_dry_run_deletes_nothing_of_a_project_of_this_form(tmp_path):
    mine = tmp_path / "models" / "mine.keras"
    (tmp_path / "keras_crate").mkdir()
    mine.parent.mkdir()
    for name in ("README.md", "requirements.txt", "app.py"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="that an earlier dry run of a Space wrote"):
        space._check_dry_run(tmp_path)
    (tmp_path / "app.py").write_text(space.APP)
    assert space._check_dry_run(tmp_path) == tmp_path
    mine.touch()
    with pytest.raises(ValueError, match=r"mine\.keras, which is a file"):
        space._check_dry_run(tmp_path)


def test_a_commit_to_the_hub(server, tmp_path):
    with HubClient(server, tmp_path / "writer") as client:
        client(MODELS)
        server.add_repository(
            "spaces/writer/inside", {"models/old/config.json": b"{}", "own.txt": b"kept"}
        )
        place = client(
            'result = keras_crate.app.push_space(trained(), "hf://writer/inside", license="mit")'
        )
        assert "/spaces/writer/inside/commit/" in place
        files = server.files("spaces/writer/inside")
        assert {"README.md", "app.py", "requirements.txt", "own.txt"} <= files.keys()
        assert (
            "keras_crate/app/page.py" in files
            and "keras_crate/weights/files/variants.toml" in files
        )
        assert not [name for name in files if name.startswith("models/old")]
        assert b"sdk: gradio" in files["README.md"]
        with pytest.raises(Exception, match="is not yours"):
            client('keras_crate.app.push_space(trained(), "hf://reader/inside")')
