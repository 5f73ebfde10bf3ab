"""The guides: their code runs, and each notebook has the code and the text of its source."""

import itertools
import json
import math
import os
import re
import subprocess
import sys

import keras
import pytest
from write_guides import GUIDES

SOURCES = sorted(GUIDES.glob("*.py"))
NAMES = {
    "compare_crate_and_vit",
    "export_and_serve",
    "fine_tune_on_your_folder",
    "look_inside",
    "new_white_box",
    "publish_and_pull",
    "scale_out",
    "self_supervision",
}


@pytest.mark.any_backend
def test_the_guides_are_there():
    assert {path.stem for path in SOURCES} == NAMES
    assert {path.stem for path in GUIDES.glob("*.ipynb")} == NAMES


@pytest.mark.any_backend
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_notebook_is_that_of_its_source(source):
    jupytext = pytest.importorskip("jupytext")
    notebook = source.with_suffix(".ipynb")
    advice = f"write it by `python tests/write_guides.py {source.stem}`"
    assert notebook.stat().st_size < 300_000
    cells = json.loads(notebook.read_text("utf8"))["cells"]
    written = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    assert written == [(c.cell_type, c.source) for c in jupytext.read(source).cells], advice
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [*range(1, len(code) + 1)], advice
    outputs = [output for cell in code for output in cell["outputs"]]
    assert all(output.get("name") != "stderr" for output in outputs)  # warnings
    results = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
    assert all("image/png" in data for data in results), "a figure that is not shown"
    assert all(output["output_type"] != "error" for output in outputs)


@pytest.mark.any_backend
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_guide_has_its_parts(source):
    text = re.sub(r"^# ?", "", source.read_text("utf8"), flags=re.MULTILINE)
    assert re.search(r"^# .+\n\nAt the end you (have|know) ", text, re.MULTILINE)
    assert "## See also" in text
    cells = source.read_text("utf8").split("# %%")[1:]
    for before, cell in itertools.pairwise(cells):  # a sentence before each
        assert cell.startswith(" [markdown]") or before.startswith(" [markdown]")
    for name in re.findall(r"\]\((\w+)\.ipynb", text):
        assert name in NAMES
    for page in re.findall(r"\]\(\.\./(\w+\.md)", text):
        assert (GUIDES.parent / page).exists(), page


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a guide's code in an empty folder and returns its names."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    registered = dict(keras.saving.get_custom_objects())

    def run(name):
        code = (GUIDES / f"{name}.py").read_text("utf8")
        names = {"__name__": name}
        exec(compile(code, f"{name}.py", "exec"), names)
        return names

    yield run
    for name in keras.saving.get_custom_objects().keys() - registered.keys():
        del keras.saving.get_custom_objects()[name]


@pytest.mark.any_backend
def test_fine_tune_on_your_folder(run):
    names = run("fine_tune_on_your_folder")
    assert names["scores"].summary()["top1"] > 75 and names["adapted"].summary()["top1"] > 60
    counts = names["counts"]
    assert counts["all layers"] > 10 * counts["LoRA"] > 10 * counts["head"]


@pytest.mark.any_backend
def test_publish_and_pull(run):
    names = run("publish_and_pull")
    assert names["difference"] == 0
    assert names["scores"].summary()["top1"] > 98


@pytest.mark.any_backend
def test_look_inside(run):
    names = run("look_inside")
    trained, before = (names[k].coding_rate_mean for k in ("measured", "before"))
    assert trained[1] - trained[-1] > 20 > 5 > abs(before[1] - before[-1])  # as the text says


@pytest.mark.any_backend
def test_compare_crate_and_vit(run):
    names = run("compare_crate_and_vit")
    crate, vit = names["compared"].parameters.values()
    assert abs(crate / vit - 1) < 0.1
    assert names["compared"].accuracies("CRATE").min() > 0.4
    assert names["measured"]["ViT"].sparsity_mean == [0.0] * names["DEPTH"]


@pytest.mark.any_backend
def test_new_white_box(run):
    names = run("new_white_box")
    assert names["difference"] == 0
    assert min(names["accuracies"].values()) > 0.4  # chance is 0.1


@pytest.mark.any_backend
def test_self_supervision(run):
    names = run("self_supervision")
    found = names["accuracies"]
    assert list(found) == ["pixels", "untrained encoder", "SimDINO"]
    assert min(found.values()) > 40 and names["tuned"] > 0.4  # chance is 10 %
    assert names["losses"][-1] < 0.9 * names["losses"][0]


@pytest.mark.any_backend
def test_scale_out(run):
    names = run("scale_out")
    assert names["same"] and names["resumed"].metrics["resumed_after"] == 1
    assert names["difference"] < 1e-6
    assert names["several"].metrics["epochs"] == 1


@pytest.mark.any_backend
def test_export_and_serve(run):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    names = run("export_and_serve")
    assert abs(names["outputs"] - names["expected"]).max() < 1e-5
    for answer, expected in zip(names["answers"], names["expected"][:3], strict=True):
        assert math.isclose(answer["probability"], expected.max(), abs_tol=1e-5)
        assert answer["class"] == names["names"][expected.argmax()]


def programs() -> list:
    """The programs of scale_out for several devices, each with its backend."""
    text = re.sub(r"^# ?", "", (GUIDES / "scale_out.py").read_text("utf8"), flags=re.MULTILINE)
    found = re.findall(r"^### (.*?)\n.*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return [pytest.param(program, id=title) for title, program in found]


@pytest.mark.slow
@pytest.mark.parametrize("program", programs())
def test_a_program_for_several_devices(program, tmp_path):
    """It prints what it says."""
    if f'"KERAS_BACKEND"] = "{keras.backend.backend()}"' not in program:
        pytest.skip("the program is for another backend")
    [said] = re.findall(r"print\(.*\)  # (.*)", program)
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == said
