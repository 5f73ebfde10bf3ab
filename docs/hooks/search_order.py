"""Puts guides before reference and background in the results of a search."""

LATER = ("api/", "architecture.md", "changelog.md", "command_line.md", "contributing.md")


def on_page_markdown(markdown, page, config, files):
    """Halves what a word counts in these pages."""
    if page.file.src_uri.startswith(LATER):
        page.meta["search"] = {"boost": 0.5}
    return markdown
