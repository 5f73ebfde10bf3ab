"""SIGKILL and SIGTERM at random moments: what was whole is whole after, and one can go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

KINDS = {"train": 20, "push": 20, "pull": 20, "write": 20, "together": 16, "cache": 5}


@pytest.mark.any_backend
@pytest.mark.slow  # short forms: the tests of the rooms
@pytest.mark.parametrize("kind", KINDS)
def test_kills_and_caches(kind, tmp_path):
    assert survived(kind, KINDS[kind], tmp_path) >= KINDS[kind]


@pytest.mark.any_backend  # under JAX, Keras refuses
@pytest.mark.slow
def test_threads_predict_with_one_model(tmp_path):
    assert survived("threads", 200, tmp_path) == 200


def survived(kind: str, count: int, tmp_path: Path) -> int:
    """Runs kills.py."""
    with HubServer() as hub:
        here = Path(__file__).parent
        path = os.pathsep.join(map(str, (here, here / "training", here.parent)))
        own = {**hub.environment(tmp_path / "hf"), "TMPDIR": str(tmp_path), "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, here / "kills.py", kind, str(count)],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])["survived"]
