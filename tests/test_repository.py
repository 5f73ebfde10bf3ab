"""The files around the package: they name the same version and papers, and CI runs `.ci/run`."""

import re
import socket
import subprocess
import sys
from importlib import metadata

import pytest
import yaml
from write_pages import ROOT

import keras_crate

pytestmark = pytest.mark.any_backend


def read(path: str):
    return yaml.safe_load((ROOT / path).read_text("utf8"))


def test_the_citation_has_the_version_and_the_papers():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == keras_crate.__version__ == metadata.version("keras-crate")
    papers = (ROOT / "keras_crate" / "hub" / "papers.bib").read_text("utf8").strip().split("\n\n")
    fields = ("title", "booktitle", "year", "url", "author")
    expected = [
        tuple(re.findall(rf"^  {field} = {{(.*)}}", entry, re.MULTILINE)[0] for field in fields)
        for entry in papers
    ]
    found = [
        (
            paper["title"],
            paper["collection-title"],
            str(paper["year"]),
            paper["url"],
            " and ".join(f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]),
        )
        for paper in citation["references"]
    ]
    assert found == expected


def test_the_workflow_runs_what_a_developer_runs():
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert job["timeout-minutes"] and job["runs-on"].startswith("ubuntu")
    *prepare, browser, last = job["steps"]
    assert last == {"run": "bash .ci/run"} and "chromium" in browser["run"]
    assert [step["uses"].partition("@")[0] for step in prepare] == [
        "actions/checkout", "actions/setup-python",
    ]  # fmt: skip
    assert prepare[1]["with"]["python-version"] == "3.11"


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_issue_forms(form):
    form = read(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert form["name"] and form["description"]
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names)) >= 3
    assert all(field["attributes"]["label"] for field in form["body"])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no tomllib")
def test_one_address_of_the_repository():
    import tomllib

    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["urls"]
    assert read("CITATION.cff")["repository-code"] == urls["Repository"]
    (link,) = read(".github/ISSUE_TEMPLATE/config.yml")["contact_links"]
    assert all(url.startswith(urls["Repository"]) for url in (link["url"], *urls.values()))


def test_contributing_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf8")
    paths = set(re.findall(r"[\w.]+(?:/\w+)*/\w+\.(?:py|toml|md|bib)", text))
    paths = {path for path in paths if "NAME" not in path}
    assert len(paths) > 20
    missing = {
        p for p in paths if not any((at / p).exists() for at in (ROOT, ROOT / "keras_crate"))
    }
    assert missing == set()


def test_tests_reach_this_machine_only():
    import pytest_socket

    with pytest.raises(pytest_socket.SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 80), timeout=1)  # an address for documentation
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
    code = "import urllib.request as r; print(r.urlopen('https://192.0.2.1', timeout=60))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Connection refused" in run.stderr  # by the proxy that conftest.py names
