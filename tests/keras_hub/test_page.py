"""The program of docs/kerashub.md runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras_hub.models")

PAGE = Path(__file__).parents[2] / "docs" / "kerashub.md"


@pytest.mark.any_backend
def test_the_program_prints_what_it_says(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf8"), re.DOTALL)
    said = re.findall(r"print\(.*\)  # (.*)", program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    printed = [line for line in result.stdout.splitlines() if line in said]
    assert printed == said, result.stdout
