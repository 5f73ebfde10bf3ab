"""The papers that describe a model. papers.bib has their BibTeX entries."""

import re
from pathlib import Path

import keras

from keras_crate.models.white_box import WhiteBoxModel

_OF_FAMILY = {
    "CRATEAlpha": "yang2024scaling",
    "CRATEMAE": "pai2024masked",
    "CRATEMAEEncoder": "pai2024masked",
    "CBT": "wen2025towards",
}
_OF_OPERATOR = {"tssa": "wu2025token", "cbsa": "wen2025towards"}


def papers_of(model: keras.Model) -> list[str]:
    """Returns the BibTeX entries of a model's papers, none for models of other packages."""
    if not isinstance(model, WhiteBoxModel):
        return []
    operator = getattr(model.settings, "compress", None)
    keys = {"yu2023white", _OF_FAMILY.get(type(model).__name__)}
    keys.add(_OF_OPERATOR.get(operator) if isinstance(operator, str) else None)
    entries = Path(__file__).with_name("papers.bib").read_text("utf8").strip().split("\n\n")
    return [entry for entry in entries if re.findall(r"@\w+\{(\w+)", entry)[0] in keys]


def links_of(entry: str) -> str:
    """Returns a line of Markdown with links to an entry's paper and to the authors' code."""
    title, paper, code = (
        re.findall(pattern, entry)[0]
        for pattern in (r"title = \{(.*)\}", r"url = \{(.*)\}", r"Code: (.*)\}")
    )
    return f"- [{title}]({paper}), [the authors' code]({code})"
