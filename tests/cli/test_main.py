import dataclasses
import signal
import subprocess
import sys

import pytest

import keras_crate
import keras_crate_cli
from keras_crate.training import demo, demo_from_scratch
from keras_crate_cli import COMMANDS, main

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_do_not_wait_for_keras(option):
    code = f"""
import sys
from keras_crate_cli import main
try:
    main(["{option}"])
finally:
    assert not {{"keras", "keras_crate", "numpy"}} & sys.modules.keys()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if option == "--version":
        assert run.stdout == f"keras-crate {keras_crate.__version__}\n"
    else:
        assert all(f"\n  {name} " in run.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "finetune --weights mnist --epochs 2",
            "of the recipe. Pass it as --set epochs=",
        ),
        ("finetune --weights mnist --otput a", "no argument --otput. Did you mean '--output'"),
        ("pretrain --model base", "no argument --model. Write MODEL without it"),
        ("predict mnist a.png --out b.csv", "no argument --out. Did you mean"),
        ("predict mnist a.png --batchsize 2", "no argument --batchsize. Did you mean '--batch-"),
    ],
)
def test_an_argument_that_a_command_does_not_have(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words.split())
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
    ],
)
def test_too_little_memory_is_one_line(error, monkeypatch, capsys):
    def run(*_):
        raise error

    monkeypatch.setattr(keras_crate_cli, "run", run)
    assert main(["recipes"]) == 1
    assert "error: There is not enough memory. Use fewer images" in capsys.readouterr().err
    monkeypatch.setattr(keras_crate_cli, "run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a defect is not hidden
        main(["recipes"])


def test_a_command_runs_as_a_program():
    command = [sys.executable, "-m", "keras_crate", "recipes"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "imagenet1k-paper" in run.stdout


def test_options_of_the_demo(monkeypatch):
    runs = []
    monkeypatch.setattr(demo, "run_demo", lambda *words: runs.append(words))
    for words in ("", "--fast", "--fast --epochs 3 --seed 1"):
        assert main(["demo", *words.split()]) == 0
    epochs = (demo.EPOCHS, demo.FAST_EPOCHS, 3)
    assert runs == [
        ("crate-demo", number, seed) for number, seed in zip(epochs, (0, 0, 1), strict=True)
    ]


def test_options_of_the_demo_from_scratch(monkeypatch):
    runs = []
    monkeypatch.setattr(
        demo_from_scratch, "run_demo_from_scratch", lambda *words, seed: runs.append((*words, seed))
    )
    for words in ("", "--fast --epochs 3 --seed 1"):
        assert main(["demo", "--from-scratch", *words.split()]) == 0
    fast = dataclasses.replace(demo_from_scratch.FAST, epochs=3)
    assert runs == [("crate-demo", demo_from_scratch.FULL, 0), ("crate-demo", fast, 1)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_one_line(number, monkeypatch, capsys):
    monkeypatch.setattr(keras_crate_cli, "run", lambda *_: signal.raise_signal(number))
    before = signal.getsignal(number)
    assert main(["finetune"]) == 128 + number
    assert capsys.readouterr().err == (
        "\nkeras-crate: stopped. Every epoch that ended is kept. Repeat the command to go on "
        "after the last one.\n"
    )
    assert signal.getsignal(number) is before


def test_signals_of_libraries_do_not_end_a_command():
    """PyTorch's loaders handle SIGCHLD, which comes whenever a worker ends."""
    code = """
import signal, sys, time
import keras_crate_cli as cli

def run(name, words):
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.raise_signal(signal.SIGCHLD)
    time.sleep(0.5)

cli.run, cli._PATIENCE = run, 0
sys.exit(cli.main(["demo"]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_command_that_swallows_the_signal_is_ended():
    """As a library's callback or compiler does."""
    code = """
import contextlib, signal, sys, time
import keras_crate_cli as cli

def run(name, words):
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGINT)
    time.sleep(60)

cli.run, cli._PATIENCE = run, 0.2
sys.exit(cli.main(["demo"]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert run.returncode == 130
    assert run.stderr.count("keras-crate: stopped. Files that were complete are kept.") == 1
