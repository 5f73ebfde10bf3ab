"""What `python -m build` packs: a wheel for users, and an sdist with all that tests need."""

import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from write_pages import ROOT

pytest.importorskip("build")
pytest.importorskip("hatchling")
pytest.importorskip("hatch_fancy_pypi_readme")
pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist; the wheel is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_the_wheel(built):
    with zipfile.ZipFile(built[0]) as wheel:
        sizes = {info.filename: info.file_size for info in wheel.infolist()}
    tops = {name.partition("/")[0].partition("-")[0] for name in sizes}
    assert tops == {"keras_crate", "keras_crate_cli.py"}  # and metadata; no tests
    package = ROOT / "keras_crate"
    ours = {p.relative_to(ROOT).as_posix() for p in package.rglob("*") if p.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    assert ours <= sizes.keys()  # with recipes, card.md, papers.bib and py.typed
    assert {"keras_crate/py.typed", "keras_crate/hub/card.md", "keras_crate/hub/papers.bib"} <= ours
    weights = {p.relative_to(ROOT / "weights").as_posix() for p in ROOT.glob("weights/*/*")}
    assert {f"keras_crate/weights/files/{name}" for name in weights} <= sizes.keys()
    assert "keras_crate/weights/files/variants.toml" in sizes
    assert not [name for name in sizes if "__pycache__" in name]
    assert max(sizes.values()) < 4 << 20
    assert built[0].stat().st_size < 16 << 20


def test_the_sdist(built):
    with tarfile.open(built[1]) as sdist:
        names = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    assert built[1].stat().st_size < 24 << 20
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0:  # a checkout
        there = {name for name in tracked.stdout.split("\n") if name and (ROOT / name).exists()}
        assert there - names == set()
    assert {"pyproject.toml", "tox.ini", "constraints.txt", ".ci/run", "PKG-INFO"} <= names


def test_links_of_the_page_of_the_package_index_are_absolute(built):
    with zipfile.ZipFile(built[0]) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith("METADATA"))
        text = wheel.read(name).decode()
    links = re.findall(r"\]\((.*?)\)", text)
    assert len(links) > 15 and [link for link in links if not link.startswith("https://")] == []
    files = [link.partition("/main/")[2].partition("#")[0] for link in links if "/main/" in link]
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_the_page_of_the_package_index(built):
    pytest.importorskip("twine")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
