"""Model cards, from the publisher's statements and from measurements."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping

import keras

from keras_crate import __version__
from keras_crate.checks import is_number
from keras_crate.evaluation import Evaluation
from keras_crate.hub.to_pytorch import settings_not_in_tensors
from keras_crate.models.white_box import WhiteBoxModel
from keras_crate.weights.hub_files import Address, parse_address


@dataclasses.dataclass(frozen=True)
class Published:
    """The publisher's statements about a model.

    Attributes:
        address: `hf://user/name`.
        dataset: Data set that the model was trained and measured on.
        metrics: Results by name.
        license: Identifier of the licence.
        base_model: Name on the Hub of the model that it was fine-tuned from.
        training: Facts of the training.
        evaluation: How images were prepared for the metrics.
    """

    address: str
    dataset: str | None = None
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)
    license: str | None = None
    base_model: str | None = None
    training: Mapping = dataclasses.field(default_factory=dict)
    evaluation: Evaluation | None = None

    def __post_init__(self):
        for name, pattern, example in (
            ("dataset", r".*\S.*", "mnist"),
            ("license", r"[a-z0-9][a-z0-9.-]*", "apache-2.0"),
            ("base_model", r"[\w.-]+/[\w.-]+", "user/model"),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            if not (isinstance(value, str) and re.fullmatch(pattern, value)):
                raise ValueError(
                    f"`{name}` must be one line, such as {example!r}, or None. Received: "
                    f"{name}={value!r}"
                )
        for name, value in self.metrics.items():
            if not (isinstance(name, str) and is_number(value) and math.isfinite(value)):
                raise ValueError(
                    "`metrics` must be finite numbers by name, such as {'accuracy': 0.97}. "
                    f"Received: {name!r}: {value!r}"
                )
        if self.metrics and self.dataset is None:
            raise ValueError(
                "`metrics` need the `dataset` that they were measured on. Received: "
                f"metrics={dict(self.metrics)!r}, dataset=None"
            )


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
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    address = parse_address(published.address)
    name = address.repository.partition("/")[2]
    data = ModelCardData(
        library_name="keras",
        tags=_TAGS if isinstance(model, WhiteBoxModel) else ["keras"],
        pipeline_tag=_pipeline_tag(model),
        license=published.license,
        base_model=published.base_model,
        # The Hub's data sets have such names. Other names are in the text only.
        datasets=[published.dataset]
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", published.dataset or "")
        else None,
        metrics=sorted(published.metrics) or None,
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=_pipeline_tag(model) or "other",
                dataset_type=_slug(published.dataset),
                dataset_name=published.dataset,
                metric_type=metric,
                metric_value=float(value),
            )
            for metric, value in published.metrics.items()
        ]
        or None,
    )
    sections = [
        f"# {name}",
        _what_it_is(model),
        "## Use",
        _usage(model, address, files),
        *_results(published),
        *_training(published),
        *_layers(measured),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n")


_TAGS = ["keras", "keras_crate", "crate", "white-box"]
_FEATURES = "image-feature-extraction"


def _pipeline_tag(model) -> str | None:
    if not isinstance(model, WhiteBoxModel):
        return None
    return "image-classification" if getattr(model.settings, "include_top", False) else _FEATURES


def _slug(name: str | None) -> str:
    return re.sub(r"[^a-z0-9_./-]+", "-", (name or "").lower()).strip("-")


def _what_it_is(model) -> str:
    facts = [f"- parameters: {model.count_params():,}"]
    if not isinstance(model, WhiteBoxModel):
        return f"A Keras model ({type(model).__name__}).\n\n{facts[0]}"
    settings = model.settings
    for name in ("dim", "depth", "heads", "patch_size", "input_shape", "classes"):
        value = getattr(settings, name, None)
        if value is not None and (name != "classes" or settings.include_top):
            facts.append(f"- {name}: {list(value) if isinstance(value, tuple) else value}")
    kind = type(model).__name__
    return (
        f"A {kind}, a white-box transformer of keras_crate {__version__}, for Keras 3 on JAX, "
        "TensorFlow or PyTorch.\n\n" + "\n".join(facts)
    )


def _usage(model, address: Address, files: set[str]) -> str:
    lines = [
        "```python",
        "import keras_crate",
        "import numpy as np",
        "",
        f'model = keras_crate.hub.pull("{address}")',
    ]
    if isinstance(model, WhiteBoxModel):
        shape = ", ".join(map(str, model.input_shape[1:]))
        images = f"np.random.uniform(0, 255, (1, {shape}))  # pixels in [0, 255]"
        if not model.settings.include_preprocessing:
            images = f"np.random.normal(size=(1, {shape}))  # normalised images"
        lines += [f"images = {images}", "outputs = model.predict(images)"]
    if "class_names.json" in files and _pipeline_tag(model) == "image-classification":
        lines.append("print(keras_crate.decode_predictions(outputs, model, top=1))")
    revision = f', revision="{address.revision}"' if address.revision else ""
    lines += [
        "```",
        "",
        "With Keras alone, after `import keras_crate`:",
        "",
        "```python",
        "import keras_crate",
        "import keras",
        "from huggingface_hub import snapshot_download",
        "",
        f'model = keras.saving.load_model(snapshot_download("{address.repository}"{revision}))',
        "```",
    ]
    if not revision:
        lines += [
            "",
            f'Where TensorFlow is installed, `keras.saving.load_model("{address}")` does the same.',
        ]
    if "model.safetensors" in files:
        beside = ", ".join(f"{k}={v!r}" for k, v in settings_not_in_tensors(model).items())
        text = "`model.safetensors` holds the weights in the authors' PyTorch layout"
        lines += ["", f"{text}; it does not hold `{beside}`." if beside else f"{text}."]
    return "\n".join(lines)


def _results(published: Published) -> list[str]:
    if not published.metrics:
        return []
    rows = "\n".join(
        f"| {published.dataset} | {name} | {value:g} |" for name, value in published.metrics.items()
    )
    text = (
        f"| data set | metric | value |\n| --- | --- | --- |\n{rows}\n\nAs given by the publisher."
    )
    if published.evaluation is not None:
        text += f" Images were prepared as follows: {published.evaluation}."
    return ["## Results", text]


def _training(published: Published) -> list[str]:
    if not published.training:
        return []
    facts = json.dumps(dict(published.training), indent=1, default=str, ensure_ascii=False)
    return ["## Training", f"```json\n{facts}\n```"]


def _layers(measured) -> list[str]:
    if measured is None:
        return []
    return [
        "## Layer by layer",
        "![Coding rate and sparsity at every block](layers.png)\n\nMeasured on the publisher's "
        f"images:\n\n```text\n{measured}\n```",
    ]
