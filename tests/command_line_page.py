"""docs/command_line.md, made of the parsers."""

import argparse
import textwrap

from markdown_table import table

from keras_crate_cli import COMMANDS, parser_of

_INTRODUCTION = """# Command line

The option `--help` of each command prints what this page shows. Images need
`pip install ".[look]"`, and training needs `pip install ".[train]"`."""


def command_line_page() -> str:
    """The text of docs/command_line.md."""
    rows = [
        (f"[`keras-crate {name}`](#keras-crate-{name})", text) for name, text in COMMANDS.items()
    ]
    lines = [_INTRODUCTION, "", *table(("command", "what it does"), rows)]
    for name in COMMANDS:
        lines += ["", *_section(name)]
    return "\n".join(lines) + "\n"


def _section(name: str) -> list[str]:
    parser = parser_of(name)
    actions = [action for action in parser._actions if action.dest != "help"]
    lines = [f"## keras-crate {name}", "", " ".join(parser.description.split()), ""]
    lines += ["```console", _usage(name, actions), "```"]
    examples = textwrap.dedent((parser.epilog or "").removeprefix("examples:")).strip()
    lines += ["", "For example:", "", "```bash", examples, "```"] if examples else []
    if actions:
        lines += ["", *table(("argument", "meaning"), map(_row, actions))]
    return lines


def _usage(name: str, actions) -> str:
    words = ["keras-crate", name]
    words += [_word(action) for action in actions if not action.option_strings]
    words += [_word(action) for action in actions if action.option_strings and action.required]
    optional = any(action.option_strings and not action.required for action in actions)
    return " ".join(words + ["[OPTIONS]"] * optional)


def _word(action: argparse.Action) -> str:
    """The argument as it is typed."""
    value = action.metavar or action.dest.upper()
    if action.choices and not action.metavar:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return {"?": f"[{value}]", "+": f"{value} ...", "*": f"[{value} ...]"}.get(
            action.nargs, value
        )
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    return f"{names} {value}" + " ..." * (action.nargs in ("+", "*"))


def _row(action: argparse.Action) -> tuple[str, str]:
    text = (action.help or "") % {**vars(action), "prog": "keras-crate"}
    if action.option_strings and action.required:
        text += " (required)"
    # A bar would end the cell.
    return f"`{_word(action)}`".replace("|", " or "), text.replace("|", "\\|").replace("<", "&lt;")
