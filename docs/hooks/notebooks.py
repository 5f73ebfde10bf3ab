"""Makes pages of notebooks, with their outputs as they were saved. Nothing is run.

A notebook becomes Markdown, so that its links, headings and words are treated like those of
other pages.
"""

import re
from pathlib import PurePosixPath

import nbformat
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Notebook(File):
    """A page, whose name on the code host and in links ends with .ipynb."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files, config):
    """Replaces notebooks by pages and by the figures in them."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        markdown, figures = converted(nbformat.reads(file.content_string, as_version=4), file.name)
        files.remove(file)
        files.append(Notebook.generated(config, file.src_uri, content=markdown))
        for name, content in figures.items():
            path = PurePosixPath(file.src_uri).with_name(name)
            files.append(File.generated(config, f"{path}", content=content))
    return files


def converted(notebook, name: str) -> tuple[str, dict[str, bytes]]:
    """The Markdown of a notebook, and the figures in it by file name."""
    notebook.metadata["language_info"] = {"name": "python"}
    resources = {"unique_key": name, "output_files_dir": "."}
    exporter = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    markdown, resources = exporter.from_notebook_node(notebook, resources)
    figures = {PurePosixPath(path).name: data for path, data in resources["outputs"].items()}
    markdown = re.sub(r"!\[(png|jpeg)\]\((?:\./)?([^)]*)\)", r"![figure](\2)", markdown)
    return ANSI.sub("", markdown), figures
