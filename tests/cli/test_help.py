"""The help texts of all commands, at 80 columns."""

import re
import shlex

import pytest

from keras_crate_cli import COMMANDS, main, parser_of

pytestmark = pytest.mark.any_backend


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def too_long(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


def test_help_of_the_program(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert not too_long(text)
    assert all(f"\n  {name:12}{sentence}\n" in text for name, sentence in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: keras-crate {name} ")
    assert not too_long(text)
    description, rest = text.split("\n\n", 2)[1:]
    assert re.fullmatch(r"[A-Z].*\.", description, re.DOTALL)
    options, _, examples = rest.partition("\nexamples:\n")
    assert not re.search(r"--\w+ [A-Z]+\n", options), "an argument without help"
    lines = [shlex.split(line) for line in examples.splitlines()]
    assert lines
    for program, command, *words in lines:
        assert (program, command) == ("keras-crate", name)
        parser_of(name).parse_args(words[: words.index(">")] if ">" in words else words)


def test_no_command_and_a_wrong_one(capsys):
    for words, message in (
        ([], "required: COMMAND"),
        (["dmeo"], "no command 'dmeo'. Did you mean 'demo'?"),
        (["pre"], "no command 'pre'. Did you mean 'pretrain' or 'predict'?"),
        (["xyzzy"], "no command 'xyzzy'\n`keras-crate --help` lists all."),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err


def test_a_misspelt_variant(capsys):
    for words in (["predict", "crate_fasion_mnist", "a.png"], ["verify", "crate_fasion_mnist"]):
        assert main(words) == 1
        assert "Did you mean 'crate_fashion_mnist'" in capsys.readouterr().err
