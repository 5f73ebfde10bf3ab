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
    inputs,
    is_classifier,
    outputs,
    summary,
    takes_pixels,
)
from keras_crate.hub.keras_hub_files import CONVERTER_FILE, TASK_FILE
from keras_crate.hub.papers import links_of, papers_of
from keras_crate.hub.published import Published
from keras_crate.hub.results import model_index
from keras_crate.hub.to_pytorch import settings_not_in_tensors
from keras_crate.models import CRATEMAE
from keras_crate.models.settings import channels_axis
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.hub_files import parse_address

_NOT_STATED = "Not stated."


def model_card(model: keras.Model, published: Published, layers: str, files: set[str]):
    """Returns a model's card. `layers` is the table of its `LayerMeasurements`, if any."""
    from huggingface_hub import ModelCard

    blanks = {
        "name": _name_of(published),
        "code": _code(model, published),
        "summary": summary(model),
        "facts": facts(model) + _storage(published),
        "inputs": inputs(model),
        "outputs": outputs(model),
        "limits": _limits(published),
        "version": __version__,
        "command": _command(model, published),
        "download": _download(published),
        "preset": _preset(model, published, files),
        "classes": classes(model),
        "results": _results(model, published),
        "training": _training(published),
        "layers": _layers(model, published, layers),
        "pytorch": _pytorch(model, files),
        "licence": published.license or _NOT_STATED,
        "papers": _papers(model),
    }
    metadata = _metadata(model, published, files).to_yaml()
    return ModelCard(f"---\n{metadata}\n---\n\n{_filled(blanks)}")


def _filled(blanks: dict[str, str]) -> str:
    """Returns the text of card.md without the sections that have an empty blank."""
    sections = Path(__file__).with_name("card.md").read_text("utf8").split("\n## ")
    kept = [text for text in sections if all(blanks[k] for k in re.findall(r"\$(\w+)", text))]
    return string.Template("\n## ".join(kept)).substitute(blanks)


def _metadata(model, published: Published, files: set[str]):
    """Returns the card's metadata, which the Hub reads."""
    from huggingface_hub import ModelCardData

    task = None
    if isinstance(model, WhiteBoxModel):
        task = "image-classification" if is_classifier(model) else "image-feature-extraction"
    dataset = published.dataset_on_hub
    return ModelCardData(
        library_name="keras",
        tags=_tags(model, files),
        pipeline_tag=task,
        license=published.license,
        base_model=published.base_model,
        datasets=[dataset] if dataset else None,
        metrics=sorted(published.metrics) or None,
        model_name=_name_of(published),
        eval_results=model_index(published, task),
    )


def _tags(model, files: set[str]) -> list[str]:
    tags = ["keras"]
    if isinstance(model, WhiteBoxModel):
        tags += ["keras_crate", "white-box"]
        tags += ["crate"] if type(model).__name__.startswith("CRATE") else []
    return tags + (["keras-hub"] if CONVERTER_FILE in files else [])


def _name_of(published: Published) -> str:
    if not published.is_on_hub:
        return published.address
    return parse_address(published.address).repository.partition("/")[2]


def _storage(published: Published) -> str:
    """Returns a line of the list of facts, or nothing if the weights are stored as they are."""
    if published.dtype is None:
        return ""
    return f"\n- stored in half precision ({published.dtype}), loaded in the model's own dtype"


def _code(model, published: Published) -> str:
    load = f'model = keras_crate.load("{published.address}")\n'
    if not isinstance(model, WhiteBoxModel):
        return f"import keras_crate\n\n{load}model.summary()"
    shape = ", ".join(str(side or 224) for side in model.input_shape[1:])
    images = f"np.random.normal(size=(1, {shape}))  # your images, as in training"
    if takes_pixels(model):
        images = f"np.random.uniform(0, 255, (1, {shape}))  # your images: pixels in [0, 255]"
    code = f"import keras_crate\nimport numpy as np\n\n{load}images = {images}\n"
    code += "outputs = model.predict(images)"
    if class_names_of(model):
        code += "\nprint(keras_crate.decode_predictions(outputs, model, top=1))"
    return code


def _command(model, published: Published) -> str:
    if not takes_pixels(model):
        return ""
    if model.input_shape[1:][channels_axis(model.settings.data_format)] not in (1, 3, 4):
        return ""  # other channels than files have
    what, words = "prints the likeliest classes of", "predict {} photograph.jpg"
    if not is_classifier(model):
        if not isinstance(model, CRATEMAE) and len(model.output_shape) != 2:
            return ""
        what, words = "writes the features of", "embed {} photographs features.npz"
    command = words.format(published.address)
    return f"This command {what} image files of any size:\n\n```bash\nkeras-crate {command}\n```"


def _download(published: Published) -> str:
    """Returns the arguments of `snapshot_download`, or nothing for a variant of the package."""
    if not published.is_on_hub:
        return ""
    address = parse_address(published.address)
    revision = f', revision="{address.revision}"' if address.revision else ""
    return f'"{address.repository}"{revision}'


def _preset(model, published: Published, files: set[str]) -> str:
    """Returns the call that loads the model in KerasHub, or an empty text if there is none."""
    if CONVERTER_FILE not in files:
        return ""
    kind = "ImageClassifier" if TASK_FILE in files else "Backbone"
    # KerasHub reads the newest version: its addresses name no revision.
    address = published.address.partition("@")[0]
    policy = model.dtype_policy.name
    dtype = "" if policy == "float32" else f', dtype="{policy}"'  # else KerasHub takes float32
    return f'keras_hub.models.{kind}.from_preset("{address}"{dtype})'


def _limits(published: Published) -> str:
    if not published.metrics:
        return "The publisher stated no results. Measure the model before you rely on it."
    return (
        f"The results below are for images of {published.dataset}. Before you rely on the model "
        "for other images, measure it on them."
    )


def _results(model, published: Published) -> str:
    measure = f"`keras-crate evaluate {published.address} FOLDER`"
    if not published.metrics:
        advice = f" {measure} measures the accuracy on a folder of labelled images."
        return _NOT_STATED + advice * is_classifier(model)
    rows = "\n".join(
        f"| {published.dataset} | {name} | {value:g} |" for name, value in published.metrics.items()
    )
    prepared = "How images were prepared was not stated."
    if published.evaluation is not None:
        prepared = f"Images were prepared as follows: {published.evaluation}."
        if is_classifier(model):
            prepared += f" {measure} prepares the images of a folder in the same way."
    table = f"| data set | metric | value |\n| --- | --- | --- |\n{rows}"
    return f"{table}\n\nThe publisher stated these results. {prepared}"


def _training(published: Published) -> str:
    stated = {"data": published.dataset, "fine-tuned from": published.base_model}
    stated = {k: v for k, v in stated.items() if v} | dict(published.training)
    return "\n".join(f"- {k}: {_text(v)}" for k, v in stated.items()) or _NOT_STATED


def _layers(model, published: Published, layers: str) -> str:
    if layers:
        return (
            "![Coding rate and sparsity at every block](layers.png)\n\nMeasured on images that the "
            f"publisher chose:\n\n```text\n{layers}\n```"
        )
    if not isinstance(model, WhiteBoxModel):
        return ""
    return (
        f"{_NOT_STATED} `keras-crate measure {published.address} FOLDER` measures coding rate and "
        "sparsity at every block."
    )


def _papers(model) -> str:
    papers = papers_of(model)
    if not papers:
        return _NOT_STATED
    links, bibtex = "\n".join(map(links_of, papers)), "\n\n".join(papers)
    return f"The papers of the method:\n\n{links}\n\n```bibtex\n{bibtex}\n```"


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
