"""The site: it builds without a warning, has every public name, loads nothing, and is found in."""

import base64
import importlib.util
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from write_pages import ROOT

import keras_crate
from keras_crate import (
    app,
    data,
    evaluation,
    export,
    hub,
    interpret,
    layers,
    models,
    objective,
    training,
)
from keras_crate_cli import COMMANDS, parser_of

pytestmark = pytest.mark.any_backend
for package in ("mkdocs", "material", "mkdocstrings_handlers.python", "nbconvert"):
    pytest.importorskip(package)
lunr = pytest.importorskip("lunr")
pytest.importorskip("latex2mathml")

MODULES = (app, data, evaluation, export, hub, interpret, layers, objective, training)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Page(HTMLParser):
    """The ids of a page, what it loads, and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids, self.loaded, self.words = set(), [], []
        self.feed(path.read_text("utf8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        if tag in LOADED:
            self.loaded.append(attributes.get(LOADED[tag]) or "")
        if tag == "link" and attributes.get("rel") not in ("next", "prev", "canonical"):
            self.loaded.append(attributes["href"])

    def handle_data(self, text):
        self.words.append(text)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[str, Page]:
    """All pages by their place, such as `training/`."""
    found = sorted(site.rglob("*.html"))
    return {f"{path.relative_to(site)}".removesuffix("index.html"): Page(path) for path in found}


def hook(name: str):
    path = ROOT / "docs" / "hooks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_documented(pages):
    reference = {place: page for place, page in pages.items() if place.startswith("api/")}
    ids = set().union(*(page.ids for page in reference.values()))
    submodules = {module.__name__ for module in (*MODULES, models)}
    names = {f"keras_crate.{name}" for name in keras_crate.__all__} - submodules
    names |= {f"{module.__name__}.{name}" for module in MODULES for name in module.__all__}
    names |= {f"keras_crate.keras_hub.{name}" for name in _keras_hub_names()}
    assert len(names) > 100
    assert not names - ids
    assert set(models.__all__) <= set(keras_crate.__all__)  # the page of the models has these
    for module in (*submodules, "keras_crate.keras_hub"):
        assert module in pages["api/"].text
    crate = {"with_input_shape", "enable_lora", "freeze_backbone", "reset_classifier", "export"}
    assert {f"keras_crate.CRATE.{method}" for method in crate} <= ids


def _keras_hub_names() -> list[str]:
    """Those of `keras_crate.keras_hub`, which imports KerasHub."""
    text = (ROOT / "keras_crate" / "keras_hub" / "__init__.py").read_text("utf8")
    names = re.search(r"^__all__ = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)[1]
    return re.findall(r'"(\w+)"', names)


def test_sections_of_docstrings(pages):
    text = pages["api/layers/"].text
    for part in ("Call arguments:", "Weights:", "Example:", "Reference:"):
        assert part in text
    assert "Tokens of shape (batch, n, d). With return_attention_scores=True" in text


def test_every_command_and_option_is_documented(pages):
    page = pages["command_line/"]
    for name in COMMANDS:
        assert f"keras-crate-{name}" in page.ids
        for action in parser_of(name)._actions:
            for option in action.option_strings[-1:]:
                assert option == "--help" or option in page.text, (name, option)


def test_pages_load_nothing_from_another_host(site, pages):
    assert len(pages) > 25
    for place, page in pages.items():
        for address in page.loaded:
            assert not re.match(r"([a-z]+:)?//", address), (place, address)
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text("utf8")), path
    # The theme asks a code host for numbers of stars if a page has this.
    for path in site.rglob("*.html"):
        assert 'data-md-component="source"' not in path.read_text("utf8")


def test_formulas_are_mathml(site, pages):
    html = (site / "mathematics" / "index.html").read_text("utf8")
    source = (ROOT / "docs" / "mathematics.md").read_text("utf8")
    assert html.count('display="block"') == source.count("\n$$\n") / 2 > 15
    assert "arithmatex" not in html and "$" not in pages["mathematics/"].text
    assert (
        hook("formulas")
        .on_page_content('<div class="arithmatex">\\[\\frac{a}{b}\\]</div>', None, None, None)
        .startswith(
            '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mrow><mfrac>'
        )
    )


def test_code_is_beside_its_formula(pages):
    source = hook("source_code")
    page = (ROOT / "docs" / "mathematics.md").read_text("utf8")
    names = [name for block in source.BLOCK.findall(page) for name in block.splitlines()]
    assert len(names) > 25
    shown = pages["mathematics/"].text
    for name in names:
        path, code = source.source_of(name)
        assert code.lstrip().startswith(("def ", "class ", "@")) or " = " in code
        assert '"""' not in code and (ROOT / path).is_file()
        assert " ".join(code.split()) in shown
    with pytest.raises(ValueError, match=r"ista\.ISTA\.three, which does not exist"):
        source.source_of("keras_crate.layers.ista.ISTA.three")


def test_links_out_of_the_folder(caplog):
    root_pages = hook("root_pages")
    config = SimpleNamespace(extra={"repository": "https://host/name"})

    def changed(text, name="training.md"):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=name))
        return root_pages.on_page_markdown(text, page, config, None)

    assert changed("[a](zoo.md#notes)") == "[a](zoo.md#notes)"
    assert changed("[a](https://x.y)") == "[a](https://x.y)"
    for code in ("`f[0](x)`", "```python\nf[0](x)\n```"):
        assert changed(code) == code
    assert changed("[a](../tox.ini)") == "[a](https://host/name/blob/main/tox.ini)"
    assert changed("[a](../examples)") == "[a](https://host/name/tree/main/examples)"
    assert changed("[a](../CONTRIBUTING.md#rules)") == "[a](contributing.md#rules)"
    assert changed("[a](docs/zoo.md)", "contributing.md") == "[a](zoo.md)"
    assert not caplog.records
    changed("[a](../examples/none.py)")
    assert "examples/none.py, which does not exist" in caplog.text


def test_a_notebook_becomes_a_page():
    nbformat = pytest.importorskip("nbformat.v4")
    png = base64.b64encode(b"figure").decode()
    outputs = [
        nbformat.new_output("stream", text="\x1b[1m0.9\x1b[0m"),
        nbformat.new_output("display_data", {"image/png": png}),
    ]
    cells = [
        nbformat.new_markdown_cell("# Title\n\n[zoo](../zoo.md)"),
        nbformat.new_code_cell("print(0.9)", outputs=outputs),
    ]
    notebooks = hook("notebooks")
    text, figures = notebooks.converted(nbformat.new_notebook(cells=cells), "guide")
    assert text.split() == [
        "#", "Title", "[zoo](../zoo.md)", "```python", "print(0.9)", "```", "0.9",
        "![figure](guide_1_1.png)",
    ]  # fmt: skip
    assert figures == {"guide_1_1.png": b"figure"}


# Words to search for, and the pages of which one must come first.
SEARCHES = {
    "attention map": ("api/interpret/", "guides/look_inside/", "models/", ""),
    "resume": ("training/", "troubleshooting/", "guides/scale_out/"),
    "LoRA": ("models/",),
    "ImageNet": ("imagenet/", "guides/fine_tune_on_your_folder/"),
    "coding rate": ("mathematics/", "models/"),
    "ONNX": ("export/", "guides/export_and_serve/"),
    "KerasHub": ("kerashub/", "from_kerashub/"),
    "decode_predictions": ("api/models/",),
    "RandAugment": ("training/", "api/data/", "recipes/"),
    "quantise": ("models/", "kerashub/"),
    "publish": ("weights/", "guides/publish_and_pull/", ""),
}


@pytest.fixture(scope="module")
def index(site):
    """The site's index of words, searched as the theme does: titles count most."""
    found = json.loads((site / "search" / "search_index.json").read_text("utf8"))
    between_words = found["config"]["separator"]
    documents = []
    for document in found["docs"]:
        words = {name: re.sub(between_words, " ", document[name]) for name in ("title", "text")}
        counts = {"boost": document.get("boost", 1)}
        documents.append((words | {"location": document["location"]}, counts))
    fields = ({"field_name": "title", "boost": 1000}, {"field_name": "text", "boost": 1})
    return lunr.lunr(ref="location", fields=fields, documents=documents)


@pytest.mark.parametrize("words", SEARCHES)
def test_search_finds_the_page(index, words):
    found = [result["ref"].partition("#")[0] for result in index.search(words)]
    assert found and found[0] in SEARCHES[words], found[:5]
