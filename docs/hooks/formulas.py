"""Converts formulas to MathML when the site is built, so that browsers need no script for them.

Pages write LaTeX between `$` or `$$`, which a code host shows too. The extension
`pymdownx.arithmatex` marks the formulas in the page.
"""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content, page, config, files):
    """Replaces the marked formulas."""
    return FORMULA.sub(_mathml, content)


def _mathml(match) -> str:
    display = "block" if match[1] == "div" else "inline"
    return convert(html.unescape(match[2]).strip(), display=display)
