"""One server of the page for all tests of this folder."""

import sys
import tempfile
from pathlib import Path

import pytest
from app_pages import START, start, stop


@pytest.fixture(scope="session")
def served():
    pytest.importorskip("gradio")
    with tempfile.TemporaryDirectory() as folder:
        found = start([sys.executable, "-c", START], Path(folder) / "tmp")
        yield found
        stop(found)
        assert "Traceback" not in found.log.read_text()
