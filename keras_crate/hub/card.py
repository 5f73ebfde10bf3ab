"""Model cards. card.md is the text, and this module fills in its blanks."""

import json
import re
import string
from pathlib import Path

import keras
import numpy as np

from keras_crate import __version__
from keras_crate.hub.description import (
    class_names_of,
    classes,
    facts,
    is_classifier,
    outputs,
    summary,
)
from keras_crate.hub.papers import links_of, papers_of
from keras_crate.hub.published import Published
from keras_crate.hub.to_pytorch import settings_not_in_tensors
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.hub_files import parse_address

_TAGS = ["keras", "keras_crate", "crate", "white-box"]


def model_card(model: keras.Model, published: Published, measured, files: set[str]):
    """Makes the card of a model.

    Args:
        model: The model.
        published: The publisher's statements.
        measured: `LayerMeasurements` for the figure, or None.
        files: Names of the files that are published with the card.

    Returns:
        A `huggingface_hub.ModelCard`; its text is `str(card)`.
    """
    from huggingface_hub import ModelCard

    papers = papers_of(model)
    blanks = {
        "name": _name_of(published),
        "summary": summary(model),
        "facts": facts(model) + _storage(published),
        "limits": f"{outputs(model)} {_measured_on(published)}",
        "version": __version__,
        "use": _use(model, published),
        "download": _download(published),
        "classes": classes(model),
        "results": _results(published),
        "training": _training(published),
        "layers": "" if measured is None else str(measured),
        "pytorch": _pytorch(model, files),
        "papers": "\n".join(map(links_of, papers)),
        "bibtex": "\n\n".join(papers),
    }
    return ModelCard(f"---\n{_metadata(model, published).to_yaml()}\n---\n\n{_filled(blanks)}")


def _filled(blanks: dict[str, str]) -> str:
    """Returns the text of card.md without the sections that have an empty blank."""
    sections = Path(__file__).with_name("card.md").read_text("utf8").split("\n## ")
    kept = [text for text in sections if all(blanks[k] for k in re.findall(r"\$(\w+)", text))]
    return string.Template("\n## ".join(kept)).substitute(blanks)


def _metadata(model, published: Published):
    """Returns the card's metadata, which the Hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    dataset, tag = published.dataset, None
    if isinstance(model, WhiteBoxModel):
        tag = "image-classification" if is_classifier(model) else "image-feature-extraction"
    results = [
        EvalResult(
            task_type=tag or "other",
            dataset_type=re.sub(r"[^a-z0-9_./-]+", "-", dataset.lower()).strip("-"),
            dataset_name=dataset,
            metric_type=metric,
            metric_value=float(value),
        )
        for metric, value in published.metrics.items()
    ]
    # The Hub's data sets have such names. Other names are in the text only.
    is_name = bool(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", dataset or ""))
    return ModelCardData(
        library_name="keras",
        tags=_TAGS if isinstance(model, WhiteBoxModel) else ["keras"],
        pipeline_tag=tag,
        license=published.license,
        base_model=published.base_model,
        datasets=[dataset] if is_name else None,
        metrics=sorted(published.metrics) or None,
        model_name=_name_of(published),
        eval_results=results or None,
    )


def _name_of(published: Published) -> str:
    if not published.is_on_hub:
        return published.address
    return parse_address(published.address).repository.partition("/")[2]


def _storage(published: Published) -> str:
    """Returns a line of the list of facts, or nothing if the weights are stored as they are."""
    if published.dtype is None:
        return ""
    return f"\n- stored in half precision ({published.dtype}), loaded in the model's own dtype"


def _use(model, published: Published) -> str:
    address = published.address
    load = "hub.pull" if published.is_on_hub else "load"
    code = f'import keras_crate\nimport numpy as np\n\nmodel = keras_crate.{load}("{address}")\n'
    takes_pixels = isinstance(model, WhiteBoxModel) and model.settings.include_preprocessing
    if isinstance(model, WhiteBoxModel):
        shape = ", ".join(str(side or 224) for side in model.input_shape[1:])
        images = f"np.random.normal(size=(1, {shape}))  # normalised images"
        if takes_pixels:
            images = f"np.random.uniform(0, 255, (1, {shape}))  # pixels in [0, 255]"
        code += f"images = {images}\noutputs = model.predict(images)\n"
    if class_names_of(model):
        code += "print(keras_crate.decode_predictions(outputs, model, top=1))\n"
    text = f"```python\n{code}```"
    if class_names_of(model) and takes_pixels and _channels(model) in (1, 3, 4):  # as files have
        text += (
            "\n\nThis command names the likeliest classes of an image file of any size:\n\n"
            f"```bash\nkeras-crate predict {address} photograph.jpg\n```"
        )
    return text


def _channels(model) -> int:
    first = model.settings.data_format == "channels_first"
    return model.input_shape[1 if first else -1]


def _download(published: Published) -> str:
    """Returns the arguments of `snapshot_download`, or nothing for a variant of the package."""
    if not published.is_on_hub:
        return ""
    address = parse_address(published.address)
    revision = f', revision="{address.revision}"' if address.revision else ""
    return f'"{address.repository}"{revision}'


def _measured_on(published: Published) -> str:
    if not published.metrics:
        return "The publisher stated no results. Measure the model before you rely on it."
    return (
        f"The results below are for images of {published.dataset}. Before you rely on the model "
        "for other images, measure it on them."
    )


def _results(published: Published) -> str:
    if not published.metrics:
        return ""
    rows = "\n".join(
        f"| {published.dataset} | {name} | {value:g} |" for name, value in published.metrics.items()
    )
    prepared = "How images were prepared was not stated."
    if published.evaluation is not None:
        prepared = (
            f"Images were prepared as follows: {published.evaluation}. `keras-crate evaluate "
            f"{published.address} FOLDER` prepares the images of a folder in the same way."
        )
    table = f"| data set | metric | value |\n| --- | --- | --- |\n{rows}"
    return f"{table}\n\nThe publisher stated these results. {prepared}"


def _training(published: Published) -> str:
    facts = {"data": published.dataset} if published.dataset else {}
    return "\n".join(f"- {k}: {_text(v)}" for k, v in {**facts, **published.training}.items())


def _text(value) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _pytorch(model, files: set[str]) -> str:
    if "model.safetensors" not in files:
        return ""
    settings = settings_not_in_tensors(model)
    missing = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return (
        "`model.safetensors` has the weights with the names and shapes of the authors' PyTorch "
        "code." + (f" It does not hold `{missing}`." if missing else "")
    )
