"""The programs of pages run as they stand, in the order of the page."""

import re
import textwrap

import pytest
from write_pages import ROOT

pytestmark = pytest.mark.any_backend

PAGES = ("index", "models", "weights", "export")


@pytest.mark.parametrize("name", PAGES)
def test_programs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / f"{name}.md").read_text("utf8")
    programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert programs
    names = {}
    for program in programs:
        exec(compile(textwrap.dedent(program), f"docs/{name}.md", "exec"), names)
    if name == "index":
        assert names["maps"].shape == (4, 4, 4, 4)
        assert names["run"].metrics["best_val_accuracy"] > 0.8
        assert names["same"].class_names[0] == "digit 0"
        measured = re.search(r"```text\n(block .*?)\n```", page, re.DOTALL)[1]
        assert f"{names['measured']}".split("\n")[:3] == measured.split("\n")[:3]
    if name == "models":
        assert names["features"].output_shape == (None, 128)
