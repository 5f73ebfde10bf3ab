import subprocess
import sys

import pytest

import keras_crate
from keras_crate.cli.main import main

pytestmark = pytest.mark.any_backend


def test_help_and_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0 and "demo" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"keras-crate {keras_crate.__version__}"


def test_no_command_and_a_wrong_one(capsys):
    for words in ([], ["dmeo"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_errors_are_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--output", str(tmp_path / "file"), "--fast"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("keras-crate: error: The output folder") and error.count("\n") == 1


def test_epochs_must_be_positive(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path), "--fast", "--epochs", "0"]) == 1
    assert "`epochs` must be a positive integer. Received: epochs=0" in capsys.readouterr().err


def test_the_installed_command_runs_the_demo(tmp_path):
    code = "import sys; from keras_crate.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "demo", "--fast", "--epochs", "1"]
    result = subprocess.run(
        [*command, "--output", str(tmp_path / "out")], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "held-out accuracy" in result.stdout
    assert "15/15" in result.stdout  # the progress bar
    assert len(list((tmp_path / "out").iterdir())) == 3
