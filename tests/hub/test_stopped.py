"""Ctrl-C at every second request of `push` and `pull`: one line, and nothing is half written."""

import os
import signal
import subprocess
import sys
import time

import pytest
from hub_client import MODELS, HubClient

pytestmark = [pytest.mark.any_backend, pytest.mark.slow]  # each takes the seconds of an import

ADDRESS = "hf://writer/stopped"
KEPT = {
    "push": "The repository has its old files or all new ones. Repeat the command to be sure.",
    "pull": "What was downloaded is kept. Repeat the command to go on.",
}


@pytest.fixture(scope="module")
def model(server, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "model.keras"
    with HubClient(server, file.parent / "home") as client:
        client(MODELS + f"trained().save({str(file)!r})")
        client(f'keras_crate.hub.push(trained(), "{ADDRESS}")')
    return file


def _run(server, folder, words, stop_at=None):
    """Runs a command, and stops it when so many requests have arrived."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    own = {"TMPDIR": str(folder / "tmp"), **server.environment(folder / "hf")}
    server.requests.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_crate", *map(str, words)],
        env={**os.environ, **own},
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while stop_at is not None and process.poll() is None:
        if len(server.requests) >= stop_at:
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.001)
    error = process.communicate(timeout=120)[1]
    return process.returncode, error.strip().splitlines()


@pytest.mark.parametrize("command", KEPT)
def test_ctrl_c_at_each_request(command, server, model, tmp_path):
    words = ["push", model, ADDRESS] if command == "push" else ["pull", ADDRESS, "a.keras"]
    assert _run(server, tmp_path / "whole", words)[0] == 0
    requests = len(server.requests)
    assert requests > 4
    stopped = 0
    numbers = range(1, requests, 2)
    for number in numbers:
        folder = tmp_path / str(number)
        status, lines = _run(server, folder, words, number)
        assert not list((folder / "tmp").iterdir())
        left = {path.name for path in folder.iterdir()} - {"tmp", "hf"}
        if status == 0:  # it had ended
            assert left == ({"a.keras"} if command == "pull" else set())
            continue
        stopped += 1
        assert (status, lines) == (130, [f"keras-crate: stopped. {KEPT[command]}"])
        assert left <= {"a.keras"}
    if command == "pull":
        assert _run(server, folder, words)[0] == 0 and (folder / "a.keras").exists()
    assert stopped >= len(numbers) - 1
    print(f"{command}: {stopped} of {len(numbers)}")
