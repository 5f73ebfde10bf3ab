import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import yaml

import keras_crate
from keras_crate.evaluation import Evaluation
from keras_crate.hub.card import model_card
from keras_crate.hub.published import Published

pytestmark = pytest.mark.any_backend

SMALL = {"input_shape": (16, 16, 3), "patch_size": 8}


def _card(model, files=(), **published):
    text = str(model_card(model, Published("hf://user/small", **published), "", set(files)))
    _, metadata, body = text.split("---\n", 2)
    return yaml.safe_load(metadata), body


def _model(family=keras_crate.CRATE, **settings):
    return family(24, 1, 2, **{**SMALL, **settings})


def _sections(body):
    return dict(re.findall(r"^## (.*?)\n\n(.*?)(?=\n\n## |\Z)", body, re.DOTALL | re.MULTILINE))


SECTIONS = [
    "Inputs and outputs",
    "Intended use and limits",
    "Install",
    "Use on image files",
    "Use with Keras' own function",
    "Classes",
    "Results",
    "Training",
    "Layer by layer",
    "Licence",
    "Citation",
]


def test_what_a_user_needs():
    model = _model(classes=2, class_names=["cat", "dog"])
    stated = {"license": "mit", "base_model": "user/base"}
    _, body = _card(model, dataset="pets", metrics={"accuracy": 0.9}, **stated)
    sections = _sections(body)
    assert list(sections) == SECTIONS
    assert "- parameters: " in body and "- patch: 8 x 8\n" in body
    assert "of shape (None, 16, 16, 3): batch, height" in sections["Inputs and outputs"]
    assert "in [0, 255]. The model normalises" in sections["Inputs and outputs"]
    assert "probabilities of 2 classes" in sections["Inputs and outputs"]
    assert 'pip install ".[jax]"' in sections["Install"]
    assert keras_crate.__version__ in sections["Install"]
    assert "0 cat\n1 dog" in sections["Classes"]
    assert "images of pets" in sections["Intended use and limits"]
    assert "keras-crate predict hf://user/small photograph.jpg" in sections["Use on image files"]
    assert sections["Training"] == "- data: pets\n- fine-tuned from: user/base"
    assert sections["Licence"] == "mit"
    assert "$" not in body and "not stated" not in body.replace("prepared was not stated", "")


def test_inputs_of_any_size():
    body = _card(_model(input_shape=(None, None, 3)))[1]
    assert "an image: any height and width in multiples of the patch, 3 channels\n" in body


def test_layers_before_the_model():
    inputs = keras.Input((32, 32, 1))
    model = _model(input_tensor=keras.layers.Conv2D(3, 2, strides=2)(inputs), input_shape=None)
    body = _card(model)[1]
    assert "- shape of an image: 32 x 32 x 1\n" in body
    sections = _sections(body)
    assert "of their values was not stated" in sections["Inputs and outputs"]
    assert "[0, 255]" not in body and "keras-crate predict" not in body
    body = _card(_model(input_tensor=keras.Input((16, 16, 3)), input_shape=None))[1]
    assert "Pixels are in [0, 255]" in body


def test_how_kerashub_loads_it():
    files = {"image_converter.json", "task.json"}
    metadata, body = _card(_model(classes=2), files)
    assert "keras-hub" in metadata["tags"]
    assert 'models.ImageClassifier.from_preset("hf://user/small")' in body
    _, body = _card(_model(include_top=False), {"image_converter.json"})
    assert 'models.Backbone.from_preset("hf://user/small")' in body


def test_what_nobody_stated_is_said_to_be_so():
    metadata, body = _card(_model(classes=2))
    sections = _sections(body)
    assert list(sections) == SECTIONS
    assert sections["Licence"] == sections["Training"] == "Not stated."
    assert sections["Results"].startswith("Not stated. `keras-crate evaluate hf://user/small ")
    assert sections["Layer by layer"].startswith("Not stated. `keras-crate measure hf://user/small")
    assert sections["Classes"] == "The names of the 2 classes were not stated."
    assert "stated no results" in sections["Intended use and limits"]
    assert not {"license", "datasets", "metrics", "base_model", "model-index"} & set(metadata)


def test_the_first_lines_run_as_they_stand(tmp_path):
    """In a process of its own, with the folder in place of the address."""
    model = _model(classes=2, class_names=["cat", "dog"])
    keras_crate.hub.push(model, "hf://user/small", dry_run=tmp_path / "small", force=True)
    body = (tmp_path / "small/README.md").read_text("utf8").split("---\n", 2)[2]
    code = re.match(r"\n# small\n\n```python\n(.*?)```", body, re.DOTALL)[1]
    code = code.replace("hf://user/small", str(tmp_path / "small"))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert re.search(r"\[\[\('(cat|dog)', 0\.\d+\)\]\]", run.stdout)


def test_tags_say_what_is_true():
    assert _card(_model())[0]["tags"] == ["keras", "keras_crate", "white-box", "crate"]
    assert _card(_model(keras_crate.CBT))[0]["tags"] == ["keras", "keras_crate", "white-box"]
    other = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    metadata, body = _card(other)
    assert metadata["tags"] == ["keras"] and metadata["library_name"] == "keras"
    assert _sections(body)["Citation"].strip() == "Not stated."
    assert "keras-hub" in _card(_model(), files=["image_converter.json"])[0]["tags"]


def test_numbers_are_numbers():
    metadata, body = _card(
        _model(),
        dataset="pets",
        metrics={"accuracy": np.float32(0.9), "images": 90},
        training={"epochs": np.int64(3), "rate": np.float32(1e-3), "by": "fit", "sizes": [1, 2]},
    )
    values = [metric["value"] for metric in metadata["model-index"][0]["results"][0]["metrics"]]
    assert [type(value) for value in values] == [float, float]
    assert values == pytest.approx([0.9, 90])
    assert _sections(body)["Training"] == (
        "- data: pets\n- epochs: 3\n- rate: 0.001\n- by: fit\n- sizes: [1, 2]"
    )


def test_how_images_were_prepared():
    stated = {"dataset": "pets", "metrics": {"accuracy": 0.9}}
    assert "prepared was not stated" in _card(_model(), **stated)[1]
    evaluation = Evaluation(size=(16, 16), resize=18)
    body = _card(_model(), evaluation=evaluation, **stated)[1]
    assert f"prepared as follows: {evaluation}." in body
    assert "keras-crate evaluate hf://user/small FOLDER" in body


def test_many_classes_are_not_listed():
    model = _model(classes=21, class_names=[f"class {k}" for k in range(21)])
    assert "21 classes. `model.class_names`" in _sections(_card(model)[1])["Classes"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classifier_activation": "sigmoid", "classes": 3}, "3 probabilities, one for each label"),
        ({"classifier_activation": None, "classes": 3}, "3 numbers for each image"),
        ({"include_top": False}, "features of images, not classes"),
    ],
)
def test_outputs_that_are_not_one_class(settings, words):
    assert words in _sections(_card(_model(**settings))[1])["Inputs and outputs"]


def test_no_command_for_images_that_files_do_not_have():
    names = ["a", "b"]
    many = _model(input_shape=(16, 16, 13), classes=2, class_names=names)
    assert "photograph.jpg" not in _card(many)[1]
    first = {"input_shape": (3, 16, 16), "data_format": "channels_first"}
    assert "photograph.jpg" in _card(_model(classes=2, class_names=names, **first))[1]


def test_features_have_a_command_of_their_own():
    assert "embed hf://user/small photographs" in _card(_model(include_top=False))[1]
    assert "embed" not in _card(_model(include_top=False, include_preprocessing=False))[1]


@pytest.mark.parametrize(
    ("model", "papers"),
    [
        (_model, {"yu2023white"}),
        (lambda: _model(compress="tssa"), {"yu2023white", "wu2025token"}),
        (lambda: _model(compress="cbsa"), {"yu2023white", "wen2025towards"}),
        (lambda: _model(keras_crate.CBT), {"yu2023white", "wen2025towards"}),
        (lambda: _model(keras_crate.CRATEAlpha), {"yu2023white", "yang2024scaling"}),
        (lambda: keras_crate.CRATEMAE(24, 1, 2, **SMALL), {"yu2023white", "pai2024masked"}),
    ],
)
def test_papers(model, papers):
    section = _sections(_card(model())[1])["Citation"]
    assert set(re.findall(r"@inproceedings\{(\w+)", section)) == papers
    assert section.count("](https://arxiv.org/abs/") == len(papers)
    assert section.count("[the authors' code](https://github.com/") == len(papers)
