"""Runs the guides and writes them as notebooks with their outputs.

    python tests/write_guides.py [NAME ...]

Each `docs/guides/NAME.py` is the source of `docs/guides/NAME.ipynb`. Needs jupytext, nbclient
and ipykernel. The guides run in a folder that is then removed.
"""

import os
import sys
import tempfile
from pathlib import Path

GUIDES = Path(__file__).parents[1] / "docs" / "guides"


def run(source: Path):
    """Returns the executed notebook of a guide."""
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(source)
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k}"  # the same in every run
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=600, record_timing=False, resources={"metadata": {"path": folder}}
        ).execute()
    notebook.metadata.pop("language_info", None)  # the version of this Python
    for cell in notebook.cells:  # a progress bar's advice to install ipywidgets
        outputs = cell.get("outputs", [])
        outputs[:] = [o for o in outputs if "IProgress not found" not in o.get("text", "")]
    return notebook


def main() -> None:
    """Writes the guides that are named, or all."""
    import jupytext

    os.environ["PYTHONPATH"] = str(GUIDES.parents[1])
    for name in sys.argv[1:] or sorted(path.stem for path in GUIDES.glob("*.py")):
        jupytext.write(run(GUIDES / f"{name}.py"), GUIDES / f"{name}.ipynb")
        print("wrote", GUIDES / f"{name}.ipynb")


if __name__ == "__main__":
    main()
