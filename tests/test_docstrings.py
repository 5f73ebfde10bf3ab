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
    "LayerMeasurements",
    "TokenPCA",
    "rate_reduction",
    "sparsity",
    "sparse_rate_reduction",
    "distort",
    "ListedWeights",
    "Verification",
    "DemoRecipe",
    "LabelledImages",
    "LabelledFolder",
    "Scores",
    "TrainingDiverged",
}
# Run by tests of their own: against a server, because they take minutes or other programs.
RUN_ELSEWHERE = ("push", "pull", "run_demo", "export", "training_dataset", "evaluation_dataset")


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_example(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documented = (PUBLIC | METHODS)[name]
    text = inspect.getdoc(documented)
    assert text and text.splitlines()[0].endswith((".", "`."))
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if name.rpartition(".")[2] in NO_EXAMPLE:
        assert not examples
        return
    assert examples, f"{name} has no example"
    if name.rpartition(".")[2] in RUN_ELSEWHERE:
        return
    size = SIZES.get(name.rpartition(".")[2])
    if size and size.parameters > 12e6:
        return  # the same text, run for the smaller sizes
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    scope = {
        "keras": keras,
        "keras_crate": keras_crate,
        "images": images,
        "labels": np.array([0, 1]),
        "tokens": rng.normal(size=(2, 17, 24)),
        "table": rng.normal(size=(1, 197, 8)),
        "model": models.CRATE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8, classes=10),
        "mae": models.CRATEMAE(24, 2, 2, input_shape=(32, 32, 3), patch_size=8),
        "resize_positions": layers.resize_positions,
        "labelled_files": data.labelled_files,
    }
    if name.endswith("decode_predictions"):
        scope["images"] = rng.uniform(0, 255, (1, 224, 224, 3))
    (tmp_path / "photographs").mkdir()
    keras.utils.save_img(tmp_path / "photographs/0.png", images[0])
    for folder in ("classes/a", "classes/b", "pets/cat", "pets/dog"):
        (tmp_path / folder).mkdir(parents=True)
        keras.utils.save_img(tmp_path / folder / "0.png", images[0])
    hub.to_pytorch(scope["model"], tmp_path / "checkpoint.safetensors")
    for example in examples:
        exec(textwrap.dedent(example), scope)


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
