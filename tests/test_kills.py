"""SIGKILL and SIGTERM at random moments: what was whole is whole after, and one can go on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

pytestmark = [pytest.mark.any_backend, pytest.mark.slow]  # short forms: the rooms' own tests


@pytest.mark.parametrize(
    ("kind", "count"), [("train", 20), ("push", 20), ("pull", 20), ("write", 20)]
)
def test_kills(kind, count, tmp_path):
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
    assert json.loads(done.stdout.splitlines()[-1])["kills"] >= count
