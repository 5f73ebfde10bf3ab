"""Writes the parts of pages that are made of data: `python tests/write_pages.py`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import scaling  # noqa: E402
from benchmarks_page import benchmarks_page  # noqa: E402
from command_line_page import command_line_page  # noqa: E402
from pack_variant import card_of, layers_of  # noqa: E402
from recipes_page import recipes_page  # noqa: E402
from training_cost import cost_table  # noqa: E402
from zoo_page import readme_table, sizes_table, zoo_page  # noqa: E402

from keras_crate.export import format_table  # noqa: E402

START, END = "<!-- made by tests/write_pages.py -->", "<!-- end -->"


def pages() -> dict[Path, str]:
    """The text that each page must have."""
    readme, docs, weights = ROOT / "README.md", ROOT / "docs", ROOT / "weights" / "README.md"
    cards = {
        record.with_name("README.md"): card_of(
            record.parent, layers_of(record.with_name("README.md").read_text("utf8"))
        )
        for record in sorted(weights.parent.glob("*/run.json"))
    }
    return {
        docs / "benchmarks.md": benchmarks_page(),
        docs / "command_line.md": command_line_page(),
        docs / "export.md": _with_part(docs / "export.md", format_table().strip()),
        docs / "models.md": _with_part(docs / "models.md", sizes_table()),
        docs / "recipes.md": recipes_page(),
        docs / "scaling.md": _with_part(docs / "scaling.md", scaling.table()),
        docs / "zoo.md": zoo_page(),
        readme: _with_part(readme, readme_table()),
        weights: _with_part(weights, cost_table()),
        **cards,
    }


def _with_part(page: Path, part: str) -> str:
    """The page's text with a part between the two comments."""
    before, rest = page.read_text("utf8").split(START)
    _, after = re.split(END, rest, maxsplit=1)
    return f"{before}{START}\n\n{part}\n\n{END}{after}"


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf8")
        print(page)
