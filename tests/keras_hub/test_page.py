"""The programs of docs/kerashub.md and docs/from_kerashub.md run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras_hub.models")

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.any_backend
@pytest.mark.parametrize("page", ["kerashub.md", "from_kerashub.md"])
def test_the_program_prints_what_it_says(page, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf8"), re.DOTALL)
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
