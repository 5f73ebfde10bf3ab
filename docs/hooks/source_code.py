"""Shows lines of the package in pages, taken from the source when the site is built.

    ```source
    keras_crate.layers.ista.ISTA._two_products
    ```

becomes the code of that function, class or constant, without its docstring, under a title that
links to the file.
"""

import ast
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```source\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown, page, config, files):
    """Replaces blocks of names by code."""
    return BLOCK.sub(lambda block: "\n\n".join(map(_block, block[1].splitlines())), markdown)


def _block(name: str) -> str:
    path, code = source_of(name)
    title = f"{path}: {name.removeprefix(_module(path))[1:]}"
    return f'```python title="{title}"\n{code}\n```'


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def source_of(name: str) -> tuple[str, str]:
    """Finds a function, method, class or constant.

    Args:
        name: Its full name, such as `keras_crate.layers.ista.ISTA.call`.

    Returns:
        The file's path in the repository, and the code without docstring.

    Raises:
        ValueError: If there is no such name.
    """
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        path = "/".join(parts[:count]) + ".py"
        if (ROOT / path).is_file():
            text = (ROOT / path).read_text("utf8")
            return path, _code(text, parts[count:], name)
    raise ValueError(f"A page shows {name}, which does not exist")


def _code(text: str, parts: list[str], name: str) -> str:
    node = ast.parse(text)
    for part in parts:
        found = [child for child in node.body if part in _names(child)]
        if not found:
            raise ValueError(f"A page shows {name}, which does not exist")
        node = found[0]
    lines = text.splitlines()
    first, last = node.lineno - 1, node.end_lineno
    body = getattr(node, "body", ())
    if body and ast.get_docstring(node) is not None:
        skipped = range(body[0].lineno - 1, body[0].end_lineno)
    else:
        skipped = ()
    kept = [lines[i] for i in range(first, last) if i not in skipped]
    return textwrap.dedent("\n".join(kept))


def _names(node) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {getattr(node, "name", "")}
