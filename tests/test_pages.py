"""The pages: parts that are made of data are up to date, and commands are spelled right."""

import ast
import re
import shlex
import subprocess

import pytest
import yaml
from write_pages import ROOT, pages

from keras_crate.cli.training_run import recipe_of
from keras_crate_cli import COMMANDS, parser_of

pytestmark = pytest.mark.any_backend

GUIDES = [*ROOT.glob("docs/guides/*.py")]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "weights" / "README.md"])
EARLIER = ROOT / "CHANGELOG.md"  # names commands as they were, too


def test_parts_made_of_data_are_up_to_date():
    for page, text in pages().items():
        assert page.read_text("utf8") == text, "write it by `python tests/write_pages.py`"


def commands(text: str) -> list[list[str]]:
    """The words of each `keras-crate ...` in blocks of code and between backticks."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"```(?:bash|text)\n(.*?)```", text, re.DOTALL)
    lines = re.findall(r"`(keras-crate [^`]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines += re.findall(r"keras-crate [^&|>\n]*", "\n".join(blocks))
    lines += re.findall(r"-m (keras_crate [^&|>\n]*)", "\n".join(blocks))
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize(
    "page", [p for p in [*PAGES, *GUIDES] if p != EARLIER], ids=lambda page: page.stem
)
def test_commands_are_spelled_right(page):
    text = page.read_text("utf8")
    if page in GUIDES:
        text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
    for name, *words in commands(text):
        if name == "COMMAND":
            continue
        assert name in COMMANDS
        if words:  # else the page only names the command
            arguments = parser_of(name).parse_args(words)
            if name in ("pretrain", "finetune"):
                recipe_of(arguments, "imagenet1k-paper")  # checks --recipe and --set


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_scripts_and_files_in_pages_can_be_read(page):
    text = page.read_text("utf8")
    for script in re.findall(r"```bash\n(.*?)```", text, re.S):
        run = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert run.returncode == 0 and not run.stderr, script + run.stderr
    for block in re.findall(r"```yaml\n(.*?)```", text, re.S):
        for document in yaml.safe_load_all(block):
            for name, *words in commands_in_file(document):
                parser_of(name).parse_args(words)


def commands_in_file(value) -> list[list[str]]:
    """The words of each `keras-crate ...` in a file of Kubernetes."""
    if isinstance(value, str):
        return [shlex.split(value)[1:]] if value.startswith("keras-crate ") else []
    if isinstance(value, list) and value and value[0] == "keras-crate":
        return [value[1:]]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [words for part in parts for words in commands_in_file(part)]


def test_what_is_found_in_a_page():
    page = "`keras-crate weights`, `pip`\n```bash\npip install x && keras-crate demo\n"
    page += (
        "keras-crate pretrain base \\\n  --output a  # long\ntorchrun -m keras_crate look\n```\n"
    )
    assert commands(page) == [
        ["weights"],
        ["demo"],
        ["pretrain", "base", "--output", "a"],
        ["look"],
    ]
    file = yaml.safe_load("{a: [{command: [keras-crate, demo]}], b: keras-crate look x}")
    assert commands_in_file(file) == [["demo"], ["look", "x"]]
    assert len(commands((ROOT / "weights" / "README.md").read_text("utf8"))) >= 10


def test_a_wrong_word_is_found(capsys):
    with pytest.raises(SystemExit):
        parser_of("pretrain").parse_args(["base", "--dta", "imagenet2012"])
    assert "--dta" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["from_authors", "from_timm"])
def test_programs_print_what_they_say(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(
        r"```python\n(.*?)```", (ROOT / f"docs/{name}.md").read_text("utf8"), re.S
    )
    assert programs
    for program in programs:
        exec(compile(program, f"docs/{name}.md", "exec"), {})
        said = re.findall(r"print\(.*\)  # (.*)", program)
        assert said and capsys.readouterr().out.splitlines() == said


def test_the_messages_that_are_quoted_are_in_the_source():
    """`...` stands for what a message fills in."""
    quoted = re.findall(
        r'^- \*"(.*)"\*$', (ROOT / "docs/troubleshooting.md").read_text("utf8"), re.M
    )
    assert len(quoted) >= 15
    found = [text for path in ROOT.glob("keras_crate/**/*.py") for text in strings(path)]
    for message in quoted:
        wanted = ".*".join(map(re.escape, message.split("...")))
        assert any(re.search(wanted, text, re.S) for text in found), message


def strings(path) -> list[str]:
    """The texts of a module, with nothing in the place of values."""
    texts = []
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value for part in node.values if isinstance(part, ast.Constant))
            texts.append(" ".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


def test_troubleshooting_is_short():
    text = (ROOT / "docs/troubleshooting.md").read_text("utf8")
    entries = re.split(r"^### ", text, flags=re.M)[1:]
    assert len(entries) <= 15


def test_promises_name_tests_that_exist():
    named = re.findall(r"`(tests/[^`:]*)::(\w+)`", (ROOT / "docs/promises.md").read_text("utf8"))
    assert len(named) > 30
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text("utf8"), (file, test)
