"""Model cards: what a publication says of itself, and nothing that was not given or measured."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping

import keras

from keras_crate import __version__
from keras_crate.hub.evaluation import Evaluation
from keras_crate.hub.registry import STATES
from keras_crate.layers.numbers import is_number


@dataclasses.dataclass(frozen=True)
class Published:
    """What the publisher says of a model.

    Attributes:
        address: `hf://user/name`.
        dataset: What it was trained and evaluated on.
        metrics: Results by name.
        license: Identifier of the licence.
        base_model: Model on the Hub that it was made from.
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
        for name in ("dataset", "license", "base_model"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value.strip()):
                raise ValueError(f"`{name}` must be a name or None. Received: {name}={value!r}")
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
    """The card of a model.

    Args:
        model: The model.
        published: What the publisher says.
        measured: `LayerMeasurements` for the figure, or None.
        files: What is published beside the card.

    Returns:
        A `huggingface_hub.ModelCard`; its text is `str(card)`.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    repository = published.address.removeprefix("hf://")
    name = repository.partition("/")[2]
    data = ModelCardData(
        library_name="keras",
        tags=["keras", "keras_crate", "crate", "white-box"],
        pipeline_tag=_pipeline_tag(model),
        license=published.license,
        base_model=published.base_model,
        datasets=[published.dataset] if published.dataset else None,
        metrics=sorted(published.metrics) or None,
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=_pipeline_tag(model),
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
        _usage(model, published.address, files),
        *_results(published),
        *_training(published),
        *_layers(measured),
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n")


def variant_card(variant) -> str:
    """The card of a variant of the registry.

    Args:
        variant: A `registry.Variant`.
    """
    from huggingface_hub import ModelCardData

    about = variant.provenance
    accuracy = about["accuracy"]
    data = ModelCardData(
        library_name="keras",
        tags=["keras", "keras_crate", "crate", "white-box"],
        pipeline_tag="image-classification"
        if variant.arguments.get("include_top", variant.architecture[0] != "CRATEMAE")
        else "image-feature-extraction",
        license=_HUB_LICENCES.get((about["licence"] or "").split(" ")[0]),
    )
    reported, measured = (
        "not reported" if accuracy["reported"] is None else f"{accuracy['reported']:g} %",
        "not measured" if accuracy["measured"] is None else f"{accuracy['measured']:g} %",
    )
    facts = {
        "trained on": about["data"],
        "parameters": f"{about['parameters']:,}" if about["parameters"] else None,
        "weights": f"{STATES[variant.state]}; source: {about['source']}",
        "form of the checkpoint": about["form"],
        "file": about["files"]["path"],
        "revision": about["files"]["revision"] or (about["files"]["path"] and "not pinned"),
        "SHA-256": about["files"]["sha256"] or (about["files"]["path"] and "not known"),
        "licence": about["licence"],
        f"{accuracy['metric']} on {accuracy['dataset']}, reported by the authors": reported,
        f"{accuracy['metric']} on {accuracy['dataset']}, measured by us": measured,
        "evaluation": str(variant.evaluation),
        "recipe": about["recipe"],
        "paper": about["paper"],
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if value)
    sections = [
        f"# {variant.name}",
        f"```python\nimport keras_crate\n\nmodel = {variant.call()}\n```",
        f"| | |\n| --- | --- |\n{rows}",
    ]
    if about["notes"]:
        sections.append(about["notes"])
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


_HUB_LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0"}


def _pipeline_tag(model) -> str:
    settings = getattr(model, "settings", None)
    classifies = getattr(settings, "include_top", "MAE" not in type(model).__name__)
    return "image-classification" if classifies else "image-feature-extraction"


def _slug(name: str | None) -> str:
    return re.sub(r"[^a-z0-9_./-]+", "-", (name or "").lower()).strip("-")


def _what_it_is(model) -> str:
    settings = getattr(model, "settings", None)
    facts = [f"- parameters: {model.count_params():,}"]
    for name in ("dim", "depth", "heads", "patch_size", "input_shape", "classes"):
        value = getattr(settings, name, None)
        if value is not None and not (name == "classes" and not settings.include_top):
            facts.append(f"- {name}: {list(value) if isinstance(value, tuple) else value}")
    kind = type(model).__name__
    return (
        f"A {kind}, a white-box transformer of keras_crate {__version__}, for Keras 3 on JAX, "
        "TensorFlow or PyTorch.\n\n" + "\n".join(facts)
    )


def _usage(model, address: str, files: set[str]) -> str:
    shape = tuple(model.input_shape[1:])
    settings = getattr(model, "settings", None)
    pixels = getattr(settings, "include_preprocessing", True)
    lines = [
        "```python",
        "import keras_crate",
        "import numpy as np",
        "",
        f'model = keras_crate.hub.pull("{address}")',
        f"images = np.random.uniform(0, 255, (1, {', '.join(map(str, shape))}))"
        + ("  # pixels in [0, 255]" if pixels else ""),
        "outputs = model.predict(images)",
    ]
    if "class_names.json" in files and _pipeline_tag(model) == "image-classification":
        lines.append("print(keras_crate.decode_predictions(outputs, model, top=1))")
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
        f'model = keras.saving.load_model(snapshot_download("{address[5:]}"))',
        "```",
        "",
        f'Where TensorFlow is installed, `keras.saving.load_model("{address}")` does the same.',
    ]
    if "model.safetensors" in files:
        lines += ["", "`model.safetensors` holds the weights in the authors' PyTorch layout."]
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
        text += f" Images were prepared so: {published.evaluation}."
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
