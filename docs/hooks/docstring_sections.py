"""Makes sections of docstrings that the parser does not know look like the others."""

import re
import textwrap

import griffe

REFERENCE = re.compile(r"^Reference:\n((?: {4}.*\n?|\n)+)", re.MULTILINE)


class DocstringSections(griffe.Extension):
    """Reads "Call arguments" like "Args", and sets the titles of the others in bold."""

    def on_instance(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = changed(obj.docstring.value)


def changed(text: str) -> str:
    """The docstring in words that the parser knows."""
    text = re.sub(r"^Call arguments:$", "Other parameters: Call arguments:", text, flags=re.M)
    text = re.sub(r"^(Examples?|Weights):", r"**\1:**", text, flags=re.M)
    return REFERENCE.sub(lambda found: f"**Reference:** {textwrap.dedent(found[1])}", text)
