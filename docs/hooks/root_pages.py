"""Adds pages that lie outside docs/, and makes links out of docs/ lead to the repository.

Files keep the relative links that a code host follows: `../examples/compare.py`,
`../CONTRIBUTING.md`. On the site, a link to a page below leads to the page, and a link to
another file of the repository leads to the repository's address, `[project.urls]` in
pyproject.toml.
"""

import os
import re
import sys
from pathlib import Path

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "imagenet.md": "weights/README.md",
}
CODE = r"```.*?```|`[^`\n]*`"
LINK = re.compile(CODE + r"|(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(#[^)\s]*)?(?=\))", re.DOTALL)
log = get_plugin_logger(__name__)


def on_config(config):
    """Takes the repository's address from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    config.extra["repository"] = project["urls"]["Repository"]
    # Not `repo_url`, for which the theme asks the code host for numbers of stars.
    link = {"icon": "fontawesome/brands/git-alt", "link": config.extra["repository"]}
    config.extra["social"] = [link | {"name": "The repository"}]
    return config


def on_files(files, config):
    """Adds the pages from the repository's root."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf8")))
    return files


def on_page_markdown(markdown, page, config, files):
    """Changes links to files outside docs/."""
    name = page.file.src_uri
    source = PAGES.get(name, f"docs/{name}")

    def change(match) -> str:
        if match[1] is None:
            return match[0]  # code
        target = os.path.normpath(os.path.join(os.path.dirname(source), match[1]))
        anchor = match[2] or ""
        if target in PAGES.values():
            target = f"docs/{next(page for page, file in PAGES.items() if file == target)}"
        if target.startswith("docs/"):
            return os.path.relpath(target, os.path.dirname(f"docs/{name}")) + anchor
        path = ROOT / target
        if not path.exists():
            log.warning(f"{source} links to {match[1]}, which does not exist")
        kind = "tree" if path.is_dir() else "blob"
        return f"{config.extra['repository']}/{kind}/main/{target}{anchor}"

    return LINK.sub(change, markdown)
