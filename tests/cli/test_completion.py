"""Completion of commands and options in real shells."""

import shutil
import subprocess
import sys

import pytest

from keras_crate_cli import main

pytestmark = pytest.mark.any_backend

# What bash does at the Tab key: it calls the function that `complete` registered.
TAB = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function_name=$(complete -p keras-crate | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$function_name keras-crate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path_factory, capsys):
    """Writes a shell's script."""
    pytest.importorskip("shtab")

    def write(shell):
        assert main(["completion", shell]) == 0
        file = tmp_path_factory.mktemp("completion") / shell
        file.write_text(capsys.readouterr().out, encoding="utf8")
        return file

    return write


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_accepts_the_script(shell, script):
    file = script(shell)
    text = file.read_text("utf8")
    assert "keras-crate" in text and "--tensorboard" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n", file], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(script, tmp_path):
    file = script("bash")
    (tmp_path / "model.keras").touch()

    def complete(*words) -> set[str]:
        command = ["bash", "-c", TAB, "bash", file, "keras-crate", *words]
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        return set(run.stdout.split())

    assert complete("pre") == {"pretrain", "predict"}
    assert complete("finetune", "--tens") == {"--tensorboard"}
    assert complete("pretrain", "base", "--pipeline", "tf") == {"tf.data"}
    assert complete("predict", "mod") == {"model.keras"}


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install shtab" in capsys.readouterr().err
