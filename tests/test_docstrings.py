"""The examples in public docstrings run, and everything public has one."""

import inspect
import re
import textwrap

import keras
import numpy as np
import pytest

import keras_crate
from keras_crate import data, evaluation, hub, interpret, layers, models, objective, training
from keras_crate.weights.sizes import SIZES

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (layers, models, objective, interpret, data, evaluation, hub, training)
    for name in module.__all__
    if callable(getattr(module, name))
}
METHODS = {
    f"CRATE.{name}": getattr(models.CRATE, name) for name in ("with_input_shape", "enable_lora")
} | {f"CRATEMAE.{name}": getattr(models.CRATEMAE, name) for name in ("encoder", "reconstruct")}
NO_EXAMPLE = {  # results of functions, or told by the function they go with
    "BlockView",
    "LayerMeasurements",
    "TokenPCA",
    "rate_reduction",
    "sparsity",
    "sparse_rate_reduction",
    "SimDINOLoss",
    "ListedWeights",
    "Verification",
    "DemoRecipe",
    "LabelledImages",
    "LabelledFolder",
    "Scores",
    "Comparison",
    "TrainingDiverged",
    *SIZES,  # their classes have one
}
# Run by tests of their own: against a server, because they take minutes or other programs.
RUN_ELSEWHERE = (
    "push",
    "pull",
    "run_demo_from_scratch",
    "export",
    "write_features_on_ray",
    "write_predictions_on_ray",
    "training_dataset",
)


@pytest.mark.any_backend
@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documented = (PUBLIC | METHODS)[name]
    short = name.rpartition(".")[2]
    text = inspect.getdoc(documented)
    assert text and text.splitlines()[0].endswith((".", "`."))
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if short in NO_EXAMPLE:
        assert not examples
        return
    assert examples, f"{name} has no example"
    if short in RUN_ELSEWHERE:
        return
    scope = _scope("\n".join(examples), tmp_path)
    if name.endswith("decode_predictions"):
        scope["images"] = np.zeros((1, 224, 224, 3))
    for example in examples:
        exec(textwrap.dedent(example), scope)


def _scope(code, folder):
    """The names that the examples use without making them, and files in the working folder."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    small = {"input_shape": (32, 32, 3), "patch_size": 8}
    make = {
        "keras": lambda: keras,
        "keras_crate": lambda: keras_crate,
        "images": lambda: images,
        "labels": lambda: np.array([0, 1]),
        "tokens": lambda: rng.normal(size=(2, 17, 24)),
        "table": lambda: rng.normal(size=(1, 197, 8)),
        "model": lambda: models.CRATE(24, 2, 2, classes=10, **small),
        "mae": lambda: models.CRATEMAE(24, 2, 2, **small),
        "resize_positions": lambda: layers.resize_positions,
    }
    for file in ("photographs", "classes/a", "classes/b", "pets/cat", "pets/dog"):
        (folder / file).mkdir(parents=True)
        keras.utils.save_img(folder / file / "0.png", images[0])
    if "checkpoint.safetensors" in code:
        hub.to_pytorch(make["model"](), folder / "checkpoint.safetensors")
    return {name: value() for name, value in make.items() if re.search(rf"\b{name}\b", code)}


CLASSES = [n for n in PUBLIC if inspect.isclass(PUBLIC[n]) and not issubclass(PUBLIC[n], Exception)]


@pytest.mark.any_backend
@pytest.mark.parametrize("name", CLASSES)
def test_every_argument_is_documented(name):
    documented = PUBLIC[name]
    text = inspect.getdoc(documented)
    if "others: As in `CRATE`" in text:
        text += inspect.getdoc(models.CRATE)
    for argument in inspect.signature(documented).parameters:
        if argument not in ("kwargs",):
            assert re.search(rf"\b{argument}\b(, \w+)*:", text), f"{name}: {argument}"
